"""Set up everything in .venv and, where it may, the system's packages; done again it takes no time.

    python3 tools/setup.py            what the program needs
    python3 tools/setup.py --tests    and what the tests need

Used by `make run` and `make test`; needs nothing but Python 3.11 or later. A machine that already has torch 2.11 or
later is not made to load another.
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
OLDEST_TORCH = (2, 11)
# What the wheels expect of the system: X11 and EGL loaders, and Mesa's software OpenGL where there is no GPU driver.
DEBIAN = ("libxext6", "libegl1", "libopengl0", "libgl1", "libgl1-mesa-dri")
DEBIAN_TESTS = ("xvfb", "xauth", "xdotool")


def main() -> int:
    tests = "--tests" in sys.argv[1:]
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever has an older one is told so here)
        print(f"Bandlimit needs Python 3.11 or later, and {sys.executable} is {sys.version.split()[0]}: install one.")
        return 1
    names = [ROOT / "requirements.txt"] + ([ROOT / "requirements-dev.txt"] if tests else [])
    stamp = VENV / f"bandlimit-{'tests' if tests else 'run'}.stamp"
    wanted = hashlib.sha256(b"".join(name.read_bytes() for name in [*names, Path(__file__)])).hexdigest()
    system_packages(DEBIAN + DEBIAN_TESTS if tests else DEBIAN)
    if stamp.exists() and stamp.read_text() == wanted:
        return 0
    if not (VENV / "pyvenv.cfg").exists():
        make_venv()
    lines = [line for name in names for line in requirements(name)]
    if suitable_torch(str(python())):
        lines = [line for line in lines if not line.startswith("torch==")]
    print(f"Installing {len(lines)} Python packages into .venv ...", flush=True)
    subprocess.run([python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *lines], check=True)
    subprocess.run([python(), "-m", "ops.kernels"], cwd=ROOT, check=False)  # quicker on a CPU; without it torch serves
    stamp.write_text(wanted)
    return 0


def requirements(path: Path) -> list[str]:
    """The requirement of each line of a requirements file, without comments."""
    return [line for raw in path.read_text().splitlines() if (line := raw.split("#")[0].strip())]


def python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def suitable_torch(executable: str) -> bool:
    """Whether that Python has a torch that will do."""
    code = "import importlib.metadata as m; print(m.version('torch'))"
    found = subprocess.run([executable, "-c", code], capture_output=True, text=True, check=False)
    version = re.match(r"(\d+)\.(\d+)", found.stdout)
    return bool(version) and tuple(map(int, version.groups())) >= OLDEST_TORCH


def make_venv() -> None:
    """A virtual environment that sees the present Python's packages only where torch is among them."""
    if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode:
        system_packages((f"python3.{sys.version_info.minor}-venv",))
    extra = ["--system-site-packages"] if suitable_torch(sys.executable) else []
    subprocess.run([sys.executable, "-m", "venv", *extra, str(VENV)], check=True)


def system_packages(names: tuple[str, ...]) -> None:
    """Install Debian packages that are missing, or say in one line what to install."""
    if not (shutil.which("dpkg-query") and shutil.which("apt-get")):
        return
    missing = [name for name in names if not installed(name)]
    if not missing:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    may = not sudo or (
        shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0
    )
    if may:
        print(f"Installing system packages: {' '.join(missing)} ...", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = [*sudo, "apt-get", "install", "--yes", "--no-install-recommends", "-qq", *missing]
        for attempt in ([], [*sudo, "apt-get", "update", "-qq"]):
            if attempt:
                subprocess.run(attempt, env=environment, capture_output=True, check=False)
            if subprocess.run(install, env=environment, capture_output=True, check=False).returncode == 0:
                return
    print(f"Please install these system packages: sudo apt-get install {' '.join(missing)}", flush=True)


def installed(name: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip() == "installed"


if __name__ == "__main__":
    sys.exit(main())
