"""Measure everything and write the page: python -m benchmarks [--quick] [--large] [--only generators,live ...]."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import sections
from benchmarks.measure import ROOT, run_in_process
from benchmarks.report import Section, render_page
from benchmarks.sections import Scope

SECTIONS: dict[str, Callable[[Scope], Section]] = {
    "generators": sections.generators,
    "memory": sections.memory,
    "ops": sections.ops,
    "training": sections.training,
    "loop": sections.loop,
    "growth": sections.growth,
    "live": sections.live,
    "transport": sections.transport,
    "start": sections.start,
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    wanted = options.only.split(",") if options.only else list(SECTIONS)
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        sys.exit(f"There is no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}.")
    out: Path = options.out or ROOT / ("out" if options.quick or options.only else "docs")
    (out / "images").mkdir(parents=True, exist_ok=True)
    began = time.time()
    before = run_in_process("measure:describe_environment", seconds=0.5 if options.quick else 2)
    scope = Scope(options.quick, options.large, options.seconds, out / "images")
    file, sections_done = out / "benchmarks.md", []
    for name in wanted:  # the page is written after each, so that an interrupted run keeps what it measured
        sections_done.append(print_section(SECTIONS[name](scope)))
        missing = [other for other in SECTIONS if other not in wanted[: len(sections_done)]]
        rest = [Section("Not run", f"Left out: {', '.join(missing)}.")] if missing else []
        after = run_in_process("measure:describe_environment", seconds=0.5 if options.quick else 2)
        minutes = (time.time() - began) / 60
        text = render_page(page_head(before, after, options.quick, minutes), [*sections_done, *rest, gpu_section(out)])
        file.write_text(text, encoding="utf-8")
    print(f"{file} ({(time.time() - began) / 60:.1f} minutes)")
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="within three minutes, the smallest networks, into out/; all takes about half an hour",
    )
    parser.add_argument("--large", action="store_true", help="512 and 1024 pixels too (up to 15 GB, half an hour)")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each measurement at least (default 20)")
    parser.add_argument("--only", default="", help=f"some sections: {', '.join(SECTIONS)}; goes into out/")
    parser.add_argument("--out", type=Path, help="folder of benchmarks.md and images/ (default docs)")
    return parser


def print_section(section: Section) -> Section:
    """Print a section as soon as it is measured."""
    print(section.markdown(), flush=True)
    return section


def gpu_section(out: Path) -> Section:
    """Link the page of benchmarks/gpu.py, or say that it has not run."""
    if (out / "benchmarks-gpu.md").exists():
        return Section(
            "NVIDIA GPU", "Measured apart, in one call on a machine that has one: [see here](benchmarks-gpu.md)."
        )
    return Section("NVIDIA GPU", "`python -m benchmarks.gpu` measures all of it in one call; it has not run.")


def page_head(before: dict, after: dict, quick: bool, minutes: float) -> str:
    best = {name: max(before[name], after[name]) for name in ("convolution", "copy")}
    lines = [
        f"Written by `python -m benchmarks{' --quick' if quick else ''}` on {time.strftime('%Y-%m-%d')}, "
        f"in {minutes:.0f} minutes.",
        "",
        f"Machine: {before['machine']}. Measured in the same run: {best['convolution']:.0f} GFLOP/s convolution "
        f"(float32, channels last), {best['copy']:.0f} GB/s copying. Load when it began {before['load']:.1f}, "
        f"when it ended {after['load']:.1f}.",
        "",
        "Every ratio is the median over pairs that alternate in one process, ours against the plain path of "
        "`benchmarks/baseline.py` (zeros inserted, grouped convolutions), which computes the same picture. What takes "
        "less than 20 ms is repeated for as long in its turn. *Kept*: the C library keeps freed memory (mallopt); "
        "*as shipped*: it does not, as a user would run the plain path. "
        "The program's renderer keeps it. *Prototype* is what an early prototype reached on another machine "
        "(2 cores of AMD EPYC Zen 5); times are best (median).",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
