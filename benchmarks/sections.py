"""The sections of the page: which measurements to run, and how to format their rows."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import run_in_process
from benchmarks.networks import DEMO, LARGE, MEDIUM, SMALL, Case
from benchmarks.report import Section, format_milliseconds, format_ratio, plot_bars, plot_curves
from benchmarks.speed import OPS


@dataclass(frozen=True)
class Scope:
    """How much is measured."""

    quick: bool
    large: bool
    seconds: float  # of each measurement
    images: Path

    @property
    def timing(self) -> dict[str, Any]:
        """Seconds and minimum number of pairs of a measurement."""
        return {"seconds": 1.5, "min_count": 2} if self.quick else {"seconds": self.seconds, "min_count": 9}


def attempt(section: Section, what: str, function: str, **arguments: Any) -> Any | None:
    """Run a measurement; if it fails, add a note to the section and return None."""
    print(f"... {what}", file=sys.stderr, flush=True)
    try:
        return run_in_process(function, **arguments)
    except RuntimeError as error:
        section.notes.append(f"{what} was not measured: {error}.")
        return None


def generators(scope: Scope) -> Section:
    """Time whole synthesis networks against the plain path."""
    columns = [
        "network",
        "batch",
        "form",
        "memory",
        "ours",
        "plain",
        "ratio",
        "prototype",
        "goal",
        "pairs",
        "over limit",
    ]
    text = (
        "From w to pictures, float32. *Over limit*: our best time over what the same network's direct convolutions, "
        "filters and memory traffic take at the limits measured in the same process (Winograd and other forms of less "
        "arithmetic can go below 1; goals: direct 1.4 for T, 1.9 for R)."
    )
    section = Section("Generators", text, columns, image="generators.png")
    cases = DEMO if scope.quick else (*DEMO, *SMALL, *MEDIUM)
    runs = [(case, 1, form, keep) for case in cases for form in ("best",) for keep in (True, False)]
    if not scope.quick:
        runs += [(case, 1, "torch", True) for case in (*SMALL, *MEDIUM)]
        runs += [(case, 8, "best", True) for case in (*DEMO, *SMALL)]
    groups: dict[str, dict[str, float]] = {}
    for case, batch, form, keep in runs:
        what = f"{case.name}, batch {batch}, {form}, memory {'kept' if keep else 'as shipped'}"
        options = {"keep_memory": keep, "torch_only": form == "torch", "case": case.name, "batch": batch}
        result = attempt(section, what, "speed:generator", **options, **scope.timing)
        if result is not None:
            section.rows.append(_row(case, batch, keep, result, form))
            if batch == 1:
                label = "plain torch, kept" if form == "torch" else "kept" if keep else "as shipped"
                groups.setdefault(case.name, {})[label] = result["ratio"]
    if scope.large:
        _add_large(section)
    else:
        section.notes.append("512 and 1024 pixels were not run; --large runs them.")
    if scope.quick:
        section.notes.append("--quick: 256 pixels, batch 8, plain torch and the larger networks were not run.")
    names = ["kept", "as shipped"] if scope.quick else ["kept", "as shipped", "plain torch, kept"]
    values = [(name, [ratios.get(label) for label in names]) for name, ratios in groups.items()]
    plot_bars(scope.images / "generators.png", "Times faster than the plain path, batch 1", values, names)
    return section


def _row(case: Case, batch: int, keep: bool, result: dict[str, Any], form: str) -> list[str]:
    goal = case.goal
    expected = case.ratio_kept if keep else case.ratio_as_shipped
    if form == "torch":
        kind = case.name[0]
        goal, expected = {"T": "2", "R": "3.8"}[kind], {"T": "2.2 to 4.6", "R": "4.2 to 4.6"}[kind]
    if batch > 1:
        goal = expected = ""
    return [
        case.name,
        str(batch),
        "plain torch" if form == "torch" else result["form"],
        "kept" if keep else "as shipped",
        f"{format_milliseconds(result['ours'])} ({format_milliseconds(result['ours_median'])})",
        f"{format_milliseconds(result['plain'])} ({format_milliseconds(result['plain_median'])})"
        if "plain" in result
        else "not run",
        format_ratio(result["ratio"]) if "ratio" in result else "",
        expected or "-",
        goal or "-",
        str(result["count"]),
        f"{result['over_limit']:.2f}",
    ]


def _add_large(section: Section) -> None:
    for case in LARGE:
        keep = "512" in case.name
        what = f"{case.name}, memory {'kept' if keep else 'as shipped'}"
        time = {"seconds": 30.0, "min_count": 3 if keep else 1}
        result = attempt(section, what, "speed:generator", keep_memory=keep, case=case.name, batch=1, **time)
        if result is not None:
            section.rows.append(_row(case, 1, keep, result, "best"))


def memory(scope: Scope) -> Section:
    """Measure the peak memory of one image."""
    text = "What one picture takes at its peak, beyond the network, the libraries and the interpreter (VmHWM)."
    section = Section("Peak memory", text, ["network", "ours", "plain"])
    cases = DEMO if scope.quick else (*SMALL, *MEDIUM, *LARGE[-2:])
    for case in cases:
        cells = [case.name]
        for plain in (False, True):
            if plain and case in LARGE and not scope.large:
                cells.append("not run (--large)")
                continue
            what = f"peak of {case.name}, {'plain' if plain else 'ours'}"
            result = attempt(section, what, "speed:memory", case=case.name, plain=plain)
            cells.append("" if result is None else f"{result / 1e6:.0f} MB")
        section.rows.append(cells)
    return section


def ops(scope: Scope) -> Section:
    """Time filtered_lrelu alone."""
    text = "filtered_lrelu alone at the sizes of single layers, memory kept. Goal: at least 15."
    section = Section(
        "filtered_lrelu", text, ["layer", "form", "ours", "plain", "ratio", "prototype", "pairs", "error"]
    )
    chosen = list(OPS)[:3] if scope.quick else list(OPS)
    forms = (False,) if scope.quick else (False, True)
    for name in chosen:
        for torch_only in forms:
            what = f"op {name}{', plain torch' if torch_only else ''}"
            result = attempt(
                section,
                what,
                "speed:filtered_lrelu_layer",
                keep_memory=True,
                torch_only=torch_only,
                name=name,
                **scope.timing,
            )
            if result is not None:
                section.rows.append(
                    [
                        name,
                        result["form"],
                        f"{format_milliseconds(result['ours'])} ({format_milliseconds(result['ours_median'])})",
                        f"{format_milliseconds(result['plain'])} ({format_milliseconds(result['plain_median'])})",
                        format_ratio(result["ratio"]),
                        "-" if torch_only else OPS[name][2],
                        str(result["count"]),
                        f"{result['error']:.0e}",
                    ]
                )
    if scope.quick:
        section.notes.append("--quick: the radial and the large layers were not run.")
    return section


def training(scope: Scope) -> Section:
    """Time a generator's training step."""
    batch = 2 if scope.quick else 8
    text = f"Generator T of 64 pixels, base 2048, at most 64 channels, batch {batch}, memory kept."
    section = Section("Training step", text, ["what", "ours", "plain", "ratio", "prototype", "goal", "pairs"])
    result = attempt(
        section, "training", "speed:training", keep_memory=True, batch=batch, warm_up=not scope.quick, **scope.timing
    )
    expected = {"both": ("forward and backward", "2.8 to 3.6", "2.5"), "forward": ("forward alone", "4.4 to 5.3", "-")}
    for name, (what, figure, goal) in expected.items():
        if result is not None:
            r = result[name]
            times = [
                f"{format_milliseconds(r[k])} ({format_milliseconds(r[k + '_median'])})" for k in ("ours", "plain")
            ]
            section.rows.append([what, *times, format_ratio(r["ratio"]), figure, goal, str(r["count"])])
    if scope.quick:
        section.notes.append("--quick: batch 2 instead of 8.")
    return section


def loop(scope: Scope) -> Section:
    """Time whole training steps of both networks."""
    text = (
        "Both networks (T, base 32 channels times the resolution, at most 64), augmentation bgc, R1, Adam and the "
        "average, memory kept; reading pictures is left out. The plain path: the plain generator, and the ops of the "
        "discriminator and of the augmentation in plain torch. Goal at 64 pixels: at least 1.4."
    )
    section = Section("Training loop", text, ["pixels", "batch", "pictures a second", "plain", "ratio", "pairs"])
    for resolution in (16,) if scope.quick else (32, 64):
        what = f"training loop, {resolution} pixels"
        result = attempt(section, what, "loop:rate", keep_memory=True, resolution=resolution, **scope.timing)
        if result is not None:
            rates = [f"{result['ours_rate']:.1f}", f"{result['plain_rate']:.1f}"]
            section.rows.append([str(resolution), "8", *rates, format_ratio(result["ratio"]), str(result["count"])])
    if scope.quick:
        section.notes.append("--quick: 16 pixels; how cost grows with resolution and batch was not run.")
        return section
    sweeps = {"resolution": ([16, 32, 64, 128], lambda v: (v, 8)), "batch": ([4, 8, 16, 32], lambda v: (64, v))}
    for name, (values, point) in sweeps.items():
        times: list[float | None] = []
        for value in values:
            resolution, batch = point(value)
            options = {"resolution": resolution, "batch": batch, "seconds": scope.seconds / 4}
            result = attempt(section, f"cost, {name} {value}", "loop:cost", keep_memory=True, **options)
            times.append(result and result["per_kimg"])
        if any(times):
            path = scope.images / f"training_{name}.png"
            plot_curves(path, f"Seconds for a thousand pictures over {name}", values, [("ours", times)], "s")
            section.notes.append(f"Cost over {name}: ![{name}](images/training_{name}.png)")
    return section


def growth(scope: Scope) -> Section:
    """Time synthesis over resolution, channels and batch."""
    text = (
        "Config T, base 32 channels times the resolution, memory kept; best times. Resolution at 64 channels at most, "
        "channels at 128 pixels, batch at 64 pixels and 32 channels."
    )
    section = Section("Growth", text, ["what", "value", "ours", "plain", "ratio"], image="growth_resolution.png")
    sweeps = {
        "resolution": ([32, 64, 128, 256], lambda v: (v, 64, 1)),
        "channels": ([16, 32, 64, 128], lambda v: (128, v, 1)),
        "batch": ([1, 2, 4, 8], lambda v: (64, 32, v)),
    }
    for name, (values, point) in sweeps.items():
        values = values[:2] if scope.quick else values
        ours: list[float | None] = []
        plain: list[float | None] = []
        for value in values:
            resolution, channel_max, batch = point(value)
            options = {
                "resolution": resolution,
                "channel_max": channel_max,
                "batch": batch,
                "seconds": 0.5 if scope.quick else 5.0,
            }
            result = attempt(section, f"growth, {name} {value}", "speed:growth", keep_memory=True, **options)
            ours.append(result and result["ours"] * 1e3)
            plain.append(result and result["plain"] * 1e3)
            if result is not None:
                times = [format_milliseconds(result[k]) for k in ("ours", "plain")]
                section.rows.append([name, str(value), *times, format_ratio(result["ratio"])])
        if any(ours):
            path = scope.images / f"growth_{name}.png"
            plot_curves(path, f"Time of a picture over {name}", values, [("ours", ours), ("plain path", plain)], "ms")
        if scope.quick and name == "resolution":
            section.notes.append("--quick: two resolutions only; channels and batch were not run.")
            return section
    section.notes.append(
        "Over channels and batch: ![channels](images/growth_channels.png) ![batch](images/growth_batch.png)"
    )
    return section


def live(scope: Scope) -> Section:
    """Measure latency and image rate of the whole program."""
    text = (
        "The whole program off-screen under software OpenGL. *Latency*: from a changed slider to the new picture in "
        "the texture, against the renderer's answer alone (goal: at most 1.5). *Pictures*: new ones a second while a "
        "hand moves sixty times a second (goals: 30 at 640x400, 18 at 1280x800); *frames*: those that were painted."
    )
    columns = ["network", "window", "latency", "renderer alone", "ratio", "pictures a second", "frames a second"]
    section = Section("Live", text, columns)
    networks = [""] if scope.quick else ["", *(case.name for case in DEMO)]
    for case in networks:
        for width, height in ((640, 400), (1280, 800)):
            size = {"case": case, "width": width, "height": height, "seconds": 3 if scope.quick else scope.seconds}
            name = case or "the program's demo network"
            delay = attempt(section, f"latency, {name}, {width}x{height}", "live:latency", **size)
            pace = attempt(section, f"pictures, {name}, {width}x{height}", "live:rate", **size)
            if delay is not None and pace is not None:
                times = [
                    format_milliseconds(delay["latency"]),
                    format_milliseconds(delay["alone"]),
                    f"{delay['ratio']:.2f}",
                ]
                rates = [f"{pace['images']:.1f}", f"{pace['frames']:.1f}"]
                section.rows.append([name, f"{width}x{height}", *times, *rates])
    return section


def transport(scope: Scope) -> Section:
    """Time the transport of rendered images between processes."""
    text = "From asking for a finished picture to having read all of it in the window's process (RGBA, 8 bits)."
    section = Section("Frame transport", text, ["picture", "shared slots", "pickled queue", "ratio", "pairs"])
    for size in (256, 1024):
        seconds = 1.0 if scope.quick else 5.0
        result = attempt(section, f"transport of {size} pixels", "transport:frames", size=size, seconds=seconds)
        if result is not None:
            times = [format_milliseconds(result["ours_median"]), format_milliseconds(result["plain_median"])]
            section.rows.append([f"{size}x{size}", *times, format_ratio(result["ratio"]), str(result["count"])])
    return section


def start(scope: Scope) -> Section:
    """Time the start of the program."""
    text = (
        "Seconds from the start of the interpreter, best of the runs; the window is off-screen, the network the demo's."
    )
    section = Section("Start", text, ["what", "seconds", "runs"])
    times: dict[str, list[float]] = {"start_up": [], "torch_alone": []}
    for _ in range(1 if scope.quick else 5):
        for name, known in times.items():
            result = attempt(section, name, f"live:{name}", case="") if name == "start_up" else None
            result = result or (attempt(section, name, f"live:{name}") if name == "torch_alone" else None)
            if result is not None:
                known.append(result["seconds"])
    words = {"start_up": "to the first picture", "torch_alone": "an interpreter importing torch, nothing else"}
    for name, known in times.items():
        if known:
            section.rows.append([words[name], f"{min(known):.2f}", str(len(known))])
    return section
