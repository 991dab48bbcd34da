"""Cross-builds the CPU kernel for a release: python -m ops.kernels.cpu.cross_build [FOLDER].

Needs ziglang (`pip install ziglang`), which compiles for every system from any. The libraries go to prebuilt, beside
this file, and are used wherever this machine's own build is not in the cache: see `build.find`.
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
    """One machine to build for. `name` is what `build.prebuilt` looks for."""

    name: str
    triple: str
    processor: str
    suffix: str


# glibc 2.17 is that of every Linux on which torch runs; v3 has AVX2, v4 AVX-512.
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
    """Build one library and put it into the folder, in place of older ones. Raises BuildError."""
    zig = [sys.executable, "-m", "ziglang", "c++"]
    flags = ["-target", target.triple, f"-mcpu={target.processor}"]
    with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as room:
        made = Path(room) / f"kernel{target.suffix}"
        build.compile_to(made, zig, flags, ["-s"])
        path = folder / f"{target.name}-{build.source_key()}-{build.file_digest(made)}{target.suffix}"
        for old in folder.glob(f"{target.name}-*{target.suffix}"):
            old.unlink()
        made.replace(path)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
