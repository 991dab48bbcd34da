"""Build the CPU kernel library with the C++ compiler of this machine, and keep it in the cache.

    find_libraries()    libraries built for this source, processor and compiler, and those of a release
    build()             compile one; takes seconds; several processes may do it at once

File names in the cache end in the file's own digest: a damaged file is not loaded, but built again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

HERE = Path(__file__).parent
SOURCE = HERE / "c_api.cpp"
HEADERS = tuple(sorted(HERE.glob("*.h")))
COMPILERS = "c++", "g++", "clang++"
# Not -ffast-math: a library linked with it makes the whole process flush denormals to zero.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
)
PREBUILT = HERE / "prebuilt"
SUFFIX = ".dll" if os.name == "nt" else ".dylib" if sys.platform == "darwin" else ".so"
ABANDONED_SECONDS = 3600  # age after which a build folder was left by a process that has died
MAX_BUILD_SECONDS = 300


class BuildError(RuntimeError):
    """The library could not be built; the message says why."""


def cache_folder() -> Path:
    """Return $BANDLIMIT_CACHE/kernels, or ~/.cache/bandlimit/kernels. Raises OSError if there is no home folder."""
    if own := os.environ.get("BANDLIMIT_CACHE"):
        return Path(own) / "kernels"
    try:
        return Path.home() / ".cache" / "bandlimit" / "kernels"
    except RuntimeError as error:
        raise OSError("there is no home folder to keep it in; set BANDLIMIT_CACHE to a folder") from error


def find_compiler() -> list[str]:
    """Return the command of a C++ compiler, empty if none is found: $CXX with its arguments, else one of COMPILERS."""
    cxx = os.environ.get("CXX")
    for name in [cxx] if cxx else COMPILERS:
        if path := shutil.which(name):
            return [path]
    try:
        words = shlex.split(cxx or "", posix=os.name != "nt")
    except ValueError:
        return []
    path = shutil.which(words[0]) if words else None
    return [path, *words[1:]] if path else []


def explain_no_compiler() -> str:
    """Say that no compiler was found, and which were tried."""
    cxx = os.environ.get("CXX")
    return f"no C++ compiler was found ({f'CXX is {cxx}' if cxx else ', '.join(COMPILERS)})"


def find_libraries() -> list[Path]:
    """Return the undamaged libraries that can be loaded without building, best first."""
    cxx = find_compiler()
    # Without a compiler, a library of any compiler will do.
    pattern = f"{_source_and_processor_key()}-{_compiler_key(cxx) if cxx else '*'}-*{SUFFIX}"
    try:
        cached = sorted(cache_folder().glob(pattern))
    except OSError:
        cached = []
    return [path for path in (*cached, *prebuilt()) if path.stem.rsplit("-", 1)[-1] == file_digest(path)]


def prebuilt() -> list[Path]:
    """Return a release's libraries for this machine, best first (see cross_build.py)."""
    system = {"linux": "linux", "win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        capability = torch.backends.cpu.get_cpu_capability()
        levels = {"AVX512": ["x86_64_v4", "x86_64_v3"], "AVX2": ["x86_64_v3"]}.get(capability, [])
    else:
        levels = ["arm64"] if machine in ("arm64", "aarch64") else []
    return [path for level in levels for path in sorted(PREBUILT.glob(f"{system}-{level}-{source_key()}-*{SUFFIX}"))]


def build() -> Path:
    """Compile the library for this processor into the cache, and return its path. Raises BuildError."""
    cxx = find_compiler()
    if not cxx:
        raise BuildError(explain_no_compiler())
    try:
        folder = cache_folder()
    except OSError as error:
        raise BuildError(str(error)) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned_builds(folder)
        with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as build_folder:
            library = Path(build_folder) / f"kernel{SUFFIX}"
            compile_to(library, cxx, native_flags(), _link_flags())
            target = folder / f"{_source_and_processor_key()}-{_compiler_key(cxx)}-{file_digest(library)}{SUFFIX}"
            for old in folder.glob(f"{_source_and_processor_key()}-{_compiler_key(cxx)}-*{SUFFIX}"):
                if old != target and file_digest(old) != old.stem.rsplit("-", 1)[-1]:
                    old.unlink(missing_ok=True)
            library.replace(target)
    except OSError as error:
        raise BuildError(f"the kernel could not be built in {folder}: {error.strerror or error}") from error
    return target


def compile_to(target: Path, cxx: Sequence[str], flags: Sequence[str], link: Sequence[str]) -> None:
    """Compile and link in target's folder with the compiler command cxx, by ninja if it is there. Raises BuildError."""
    folder = target.parent
    compile_command = [*cxx, *FLAGS, *flags, "-c", str(SOURCE), "-o", str(folder / "kernel.o")]
    link_command = [*cxx, "-shared", *flags, str(folder / "kernel.o"), "-o", str(target), *link]
    ninja = _ninja()
    if ninja is None:
        commands = [compile_command, link_command]
    else:
        text = _ninja_file(compile_command, link_command, target.name)
        (folder / "build.ninja").write_text(text, encoding="utf-8", errors="surrogateescape")
        commands = [[ninja, "-C", str(folder)]]
    for command in commands:
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=MAX_BUILD_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"{Path(command[0]).name} did not run: {error}") from error
        if result.returncode:
            lines = (result.stderr + result.stdout).splitlines()
            first_error = next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
            raise BuildError(f"{Path(cxx[0]).name} refused the kernel: {first_error.strip()[:300].rstrip('.')}")


def native_flags() -> list[str]:
    """Return the compiler flags for all instructions of this processor."""
    arm = platform.machine().lower() in ("arm64", "aarch64")
    return ["-mcpu=native"] if arm else ["-march=native"]


def source_key() -> str:
    """Return a digest of the source and of the compiler flags."""
    digest = hashlib.sha256(repr(FLAGS).encode())
    for path in (SOURCE, *HEADERS):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _link_flags() -> list[str]:
    if os.name == "nt":
        return ["-static-libgcc", "-static-libstdc++"]
    return ["-pthread"]


def _ninja() -> str | None:
    try:
        import ninja
    except ImportError:
        return shutil.which("ninja")
    return str(Path(ninja.BIN_DIR) / "ninja")


def _ninja_file(compile_command: list[str], link_command: list[str], target: str) -> str:
    def command(words: list[str]) -> str:
        # Ninja runs commands in a shell, except on Windows.
        line = subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
        return line.replace("$", "$$")

    return (
        f"rule compile\n  command = {command(compile_command)}\nrule link\n  command = {command(link_command)}\n"
        f"build kernel.o: compile\nbuild {target}: link kernel.o\n"
    )


def _source_and_processor_key() -> str:
    """Return the first part of the library's name in the cache."""
    return f"kernel-{source_key()}-{hashlib.sha256(_describe_processor().encode()).hexdigest()[:12]}"


def _describe_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    features = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return repr([platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability(), *features[:2]])


def _compiler_key(cxx: list[str]) -> str:
    try:
        result = subprocess.run([*cxx, "--version"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return hashlib.sha256(result.stdout + " ".join(cxx[1:]).encode(errors="surrogateescape")).hexdigest()[:8]


def file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return "unreadable"


def _remove_abandoned_builds(folder: Path) -> None:
    """Remove the folders of interrupted builds."""
    for build_folder in folder.glob("building-*"):
        with contextlib.suppress(FileNotFoundError):  # its build has just finished
            if time.time() - build_folder.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(build_folder, ignore_errors=True)
