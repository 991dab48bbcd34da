"""Sets up .venv and, if permitted, the system's packages; a second run returns at once.

    python3 tools/setup.py            for the program
    python3 tools/setup.py --tests    also for the tests

Used by `make run` and `make test`; requires only Python 3.11 or later. If torch 2.11 or later is already installed, no
other is downloaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
MIN_TORCH = (2, 11)
# System libraries that the wheels need: X11 and EGL loaders, and Mesa's software OpenGL if there is no GPU driver.
DEBIAN = ("libxext6", "libegl1", "libopengl0", "libgl1", "libgl1-mesa-dri")
DEBIAN_TESTS = ("xvfb", "xauth", "xdotool")


def main() -> int:
    tests = "--tests" in sys.argv[1:]
    if sys.version_info < (3, 11):  # noqa: UP036  (an older one gets this message)
        print(f"Bandlimit needs Python 3.11 or later, and {sys.executable} is {sys.version.split()[0]}: install one.")
        return 1
    names = [ROOT / "requirements.txt"] + ([ROOT / "requirements-dev.txt"] if tests else [])
    stamp = VENV / f"bandlimit-{'tests' if tests else 'run'}.stamp"
    fingerprint = hashlib.sha256(b"".join(name.read_bytes() for name in [*names, Path(__file__)])).hexdigest()
    install_system_packages(DEBIAN + DEBIAN_TESTS if tests else DEBIAN)
    if stamp.exists() and stamp.read_text() == fingerprint:
        return 0
    if not (VENV / "pyvenv.cfg").exists():
        make_venv()
    lines = [line for name in names for line in read_requirements(name)]
    if has_suitable_torch(str(python())):
        lines = [line for line in lines if not line.startswith("torch==")]
    print(f"Installing {len(lines)} Python packages into .venv ...", flush=True)
    subprocess.run([python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *lines], check=True)
    subprocess.run([python(), "-m", "ops.kernels"], cwd=ROOT, check=False)  # faster on a CPU; optional
    stamp.write_text(fingerprint)
    return 0


def read_requirements(path: Path) -> list[str]:
    """Return the lines of a requirements file, without comments."""
    return [line for raw in path.read_text().splitlines() if (line := raw.split("#")[0].strip())]


def python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def has_suitable_torch(executable: str) -> bool:
    """Whether that Python has torch MIN_TORCH or later."""
    code = "import importlib.metadata as m; print(m.version('torch'))"
    result = subprocess.run([executable, "-c", code], capture_output=True, text=True, check=False)
    version = re.match(r"(\d+)\.(\d+)", result.stdout)
    return bool(version) and tuple(map(int, version.groups())) >= MIN_TORCH


def make_venv() -> None:
    """Create .venv, with access to the current Python's packages only if they include a suitable torch."""
    if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode:
        install_system_packages((f"python3.{sys.version_info.minor}-venv",))
    extra = ["--system-site-packages"] if has_suitable_torch(sys.executable) else []
    subprocess.run([sys.executable, "-m", "venv", *extra, str(VENV)], check=True)


def install_system_packages(names: tuple[str, ...]) -> None:
    """Install missing Debian packages, or print one line that says what to install."""
    if not (shutil.which("dpkg-query") and shutil.which("apt-get")):
        return
    missing = [name for name in names if not is_installed(name)]
    if not missing:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    can_install = not sudo or (
        shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0
    )
    if can_install:
        print(f"Installing system packages: {' '.join(missing)} ...", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = [*sudo, "apt-get", "install", "--yes", "--no-install-recommends", "-qq", *missing]
        for attempt in ([], [*sudo, "apt-get", "update", "-qq"]):
            if attempt:
                subprocess.run(attempt, env=environment, capture_output=True, check=False)
            if subprocess.run(install, env=environment, capture_output=True, check=False).returncode == 0:
                return
    print(f"Please install these system packages: sudo apt-get install {' '.join(missing)}", flush=True)


def is_installed(name: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip() == "installed"


if __name__ == "__main__":
    sys.exit(main())
