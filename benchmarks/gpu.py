"""All measurements on an NVIDIA GPU in one call: python -m benchmarks.gpu [--quick] [--only SECTIONS] [--out FILE].

Writes docs/benchmarks-gpu.md. First each kernel is compared with plain torch in float64 on the device, and whole
generators with the CPU; if one is wrong, the page reports that, and nothing is timed. A section that fails reports its
error, and the others go on. Without an NVIDIA GPU it prints one line, writes nothing and exits with status 2.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import ops
from benchmarks import gpu_frames, gpu_kernels, gpu_networks
from benchmarks.gpu_timing import DEVICE, CheckFailed, copy_bandwidth
from benchmarks.measure import ROOT
from benchmarks.report import Section
from ops.kernels.cuda import nvrtc


@dataclass(frozen=True)
class Scope:
    """How much is measured."""

    repeats: int = 15
    images: int = 120
    copy_bandwidth: float = 0.0  # bytes read and written per second by a large copy


MakeSection = Callable[[Scope], Section]
CHECKS: dict[str, MakeSection] = {
    "kernels-right": lambda scope: gpu_kernels.check_kernels(),
    "generators-right": lambda scope: gpu_networks.check_against_cpu(),
}
TIMES: dict[str, MakeSection] = {
    "generators": lambda scope: gpu_networks.generators(scope.repeats),
    "frames": lambda scope: gpu_frames.frames(scope.images),
    "kernels": lambda scope: gpu_kernels.kernel_times(scope.repeats, scope.copy_bandwidth),
    "training": lambda scope: gpu_networks.training(scope.repeats),
    "tiles": lambda scope: gpu_kernels.compare_tiles(scope.repeats),
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    wanted = options.only.split(",") if options.only else list(TIMES)
    unknown = [name for name in wanted if name not in TIMES]
    if unknown:
        sys.exit(f"There is no section {', '.join(unknown)}; there are {', '.join(TIMES)}.")
    if not torch.cuda.is_available() or torch.version.cuda is None:
        print("There is no NVIDIA GPU here, or torch was built without CUDA; nothing was measured.")
        return 2
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    began = time.time()
    scope = Scope(5 if options.quick else 15, 30 if options.quick else 120, copy_bandwidth())
    right, sections = run_sections(CHECKS, scope)
    if right:
        good, timed = run_sections({name: TIMES[name] for name in wanted}, scope)
        right, sections = good, sections + timed
    else:
        sections.append(
            Section("Not timed", "Something above is wrong, and how quick wrong pictures are says nothing.")
        )
    out: Path = options.out or ROOT / "docs" / "benchmarks-gpu.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        render_page(describe_machine(scope.copy_bandwidth), sections, (time.time() - began) / 60), encoding="utf-8"
    )
    print(f"{out} ({(time.time() - began) / 60:.1f} minutes)")
    return 0 if right else 1


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--only", default="", help=f"some of what is timed: {', '.join(TIMES)}")
    parser.add_argument("--out", type=Path, help="where the page goes (default docs/benchmarks-gpu.md)")
    return parser


def run_sections(parts: Mapping[str, MakeSection], scope: Scope) -> tuple[bool, list[Section]]:
    """Run the sections one by one and return whether all passed; one that fails becomes a section with its error."""
    good, finished = True, []
    for name, make in parts.items():
        try:
            section = make(scope)
        except CheckFailed as wrong:
            good, section = False, wrong.section
        except Exception as error:  # noqa: BLE001 - the other sections are worth having
            good = False
            traceback.print_exc()
            words = " ".join(str(error).split())[:300]
            section = Section(name.capitalize(), f"**Failed:** {type(error).__name__}: {words}")
        finished.append(section)
        print(section.markdown(), flush=True)
    return good, finished


def render_page(about: str, sections: Sequence[Section], minutes: float) -> str:
    """Render docs/benchmarks-gpu.md."""
    head = f"Written by `python -m benchmarks.gpu` on {time.strftime('%Y-%m-%d')}, in {minutes:.0f} minutes.\n\n{about}"
    return "\n".join(["# Benchmarks on an NVIDIA GPU", "", head, "", *(section.markdown() for section in sections)])


def describe_machine(copy: float) -> str:
    """Describe the GPU, its driver and the versions in use."""
    properties = torch.cuda.get_device_properties(0)
    try:
        compiler = nvrtc.library().version
    except nvrtc.NvrtcError as error:
        compiler = f"none ({error})"
    return (
        f"Machine: **{properties.name}**, {properties.multi_processor_count} multiprocessors, "
        f"{properties.total_memory / 2**30:.0f} GiB, copies {copy / 1e9:.0f} GB/s (read and written, measured); driver "
        f"{driver_version()}, CUDA {torch.version.cuda}, torch {torch.__version__}, NVRTC {compiler}, Python "
        f"{platform.python_version()}, {platform.system()}. TF32 off. Times are medians.\n\n"
        f"Forms: {ops.describe(DEVICE)}."
    )


def driver_version() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
