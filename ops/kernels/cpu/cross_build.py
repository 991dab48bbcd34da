"""Cross-compile the CPU kernel library for a release: python -m ops.kernels.cpu.cross_build [FOLDER].

Needs ziglang (`pip install ziglang`), which compiles for all systems on any of them. The libraries go to prebuilt, next
to this file, and serve where no library built on the machine itself is in the cache: see `build.find_libraries`.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ops.kernels.cpu import build


@dataclass(frozen=True)
class Target:
    """A kind of machine to build for. `build.prebuilt` looks for files that start with `name`."""

    name: str
    triple: str
    processor: str
    suffix: str


# Every Linux that torch supports has glibc 2.17 or newer. x86_64_v3 has AVX2, x86_64_v4 has AVX-512.
TARGETS = (
    Target("linux-x86_64_v3", "x86_64-linux-gnu.2.17", "x86_64_v3", ".so"),
    Target("linux-x86_64_v4", "x86_64-linux-gnu.2.17", "x86_64_v4", ".so"),
    Target("linux-arm64", "aarch64-linux-gnu.2.17", "generic", ".so"),
    Target("windows-x86_64_v3", "x86_64-windows-gnu", "x86_64_v3", ".dll"),
    Target("windows-x86_64_v4", "x86_64-windows-gnu", "x86_64_v4", ".dll"),
    Target("macos-arm64", "aarch64-macos", "apple_m1", ".dylib"),
)


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]) if arguments else build.PREBUILT
    if importlib.util.find_spec("ziglang") is None:
        sys.stdout.write("Cross-building needs ziglang: pip install ziglang\n")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for target in TARGETS:
        start = time.perf_counter()
        try:
            path = cross_build(target, folder)
        except build.BuildError as error:
            sys.stdout.write(f"{target.name}: {error}\n")
            failed += 1
            continue
        took = time.perf_counter() - start
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {took:.0f} s\n")
    return 1 if failed else 0


def cross_build(target: Target, folder: Path) -> Path:
    """Build one library into the folder, replacing older ones of the same target. Raises BuildError."""
    zig = [sys.executable, "-m", "ziglang", "c++"]
    flags = ["-target", target.triple, f"-mcpu={target.processor}"]
    with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as build_folder:
        library = Path(build_folder) / f"kernel{target.suffix}"
        build.compile_to(library, zig, flags, ["-s"])
        path = folder / f"{target.name}-{build.source_key()}-{build.file_digest(library)}{target.suffix}"
        for old in folder.glob(f"{target.name}-*{target.suffix}"):
            old.unlink()
        library.replace(path)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
