"""Every measurement on an NVIDIA GPU in one call: python -m benchmarks.gpu [--quick] [--sweep] [--out FILE].

THIS HAS NOT BEEN RUN: it was written where there was no GPU. It first compares each kernel with plain torch in float64
on the device, and stops there if one is wrong. Then it prints, as Markdown: kernel times against the bytes that they
must move, pictures a second of T and R at 1024 pixels with and without CUDA graphs, and a training step; each beside
plain torch on the same GPU. `--sweep` also times the tiles that the planner ranked first against each other. What it
does not measure: frames on their way to the window.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

import ops
from benchmarks.networks import CASES, TRAINING, make
from networks.config import StyleGAN3Config
from networks.stylegan3 import Generator, LayerSpec, layer_table
from ops.filtered_lrelu import Kink, Leg, in_blocks, legs
from ops.kernels import cuda, cuda_filtered_lrelu, nvrtc

DEVICE = "cuda"
NETWORKS = "T 1024", "R 1024"
TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}  # of the largest value
FLIPPED = 1e-3  # of a gradient's values may differ, where the signal is within rounding of the bend
ACTIVATION_CLAMP = 256.0  # as published
Row = Sequence[object]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--sweep", action="store_true", help="time the best-ranked tiles against each other")
    parser.add_argument("--out", type=Path, help="write the page here, too")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available() or torch.version.cuda is None:
        print("There is no NVIDIA GPU here, or torch was built without CUDA; nothing was measured.")
        return 2
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    pages = []

    def show(text: str) -> None:
        print(text, flush=True)
        pages.append(text)

    repeats = 5 if options.quick else 15
    copy = copy_speed()
    show(machine(copy))
    table, right = comparisons()
    show(table)
    if right:
        show(kernel_times(repeats, copy))
        show(generators(repeats))
        show(training(repeats))
        if options.sweep:
            show(sweep(repeats))
    if options.out:
        options.out.write_text("\n".join(pages), encoding="utf-8")
    return 0 if right else 1


def machine(copy: float) -> str:
    """What it ran on."""
    properties = torch.cuda.get_device_properties(0)
    try:
        compiler = nvrtc.library().version
    except nvrtc.NvrtcError as error:
        compiler = f"none ({error})"
    return (
        f"## {properties.name}\n\n{properties.multi_processor_count} multiprocessors, "
        f"{properties.total_memory / 2**30:.0f} GiB, copies {copy / 1e9:.0f} GB/s (read and written, measured); "
        f"torch {torch.__version__}, NVRTC {compiler}, Python {platform.python_version()}, {platform.system()}. "
        f"TF32 off. Medians.\n\nForms: {ops.describe(DEVICE)}\n"
    )


def copy_speed() -> float:
    """Bytes read and written per second by a large copy."""
    source = torch.empty(1 << 28, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source), 9)


# ---------------------------------------------------------------------------------------------- is it right


def comparisons() -> tuple[str, bool]:
    """Each kind of kernel against plain torch in float64, and whether all agree."""
    rows: list[Row] = []
    right = True

    def compare(name: str, made: Tensor, expected: Tensor, apart: float = 0.0) -> None:
        nonlocal right
        off = (made.double() - expected).abs() / expected.abs().max()
        good = float((~(off <= TOLERANCE[made.dtype])).double().mean()) <= apart
        right &= good
        rows.append((name, str(made.dtype)[6:], f"{float(off.max()):.1e}", "yes" if good else "NO"))

    for network in NETWORKS:
        for spec in layers(network):
            raise_, lower = plan(spec, torch.float32)
            double = [replace(leg, f=leg.f.double()) for leg in (raise_, lower)]
            kink = Kink(0.2, 1.0)
            for dtype in (torch.float32, torch.float16):
                x, b = picture(spec, 3, dtype), torch.randn(3, device=DEVICE)
                made = cuda.filtered_lrelu(x, b, None, raise_, None, lower, kink)
                compare(
                    f"{network} {spec.name}", made, in_blocks(x.double(), b, None, double[0], None, double[1], kink)
                )
            x, v = picture(spec, 3), torch.randn(1, 3, spec.out_size, spec.out_size, device=DEVICE)
            made = cuda.filtered_lrelu(x, b, v, raise_, lower.adjoint(), raise_.adjoint(), kink)
            back = double[0], double[1].adjoint(), double[0].adjoint()
            compare(
                f"{network} {spec.name}, gradient", made, in_blocks(x.double(), b, v.double(), *back, kink), FLIPPED
            )
    for dtype in TOLERANCE:
        x, b = torch.randn(2, 5, 37, 41, device=DEVICE).to(dtype), torch.randn(5, device=DEVICE)
        f = ops.setup_filter([1, 3, 3, 1], device=DEVICE)
        for up, down in ((2, 1), (1, 2), (1, 1), (2, 2)):
            settings = {"up": up, "down": down, "padding": [2, 1, 2, 1]}
            compare(f"upfirdn2d up {up} down {down}", ops.upfirdn2d(x, f, **settings), upfirdn2d_double(x, f, settings))
        for act in ops.ACTIVATIONS:
            expected = ops.bias_act(x.double(), b.to(dtype).double(), act=act, clamp=2)
            compare(f"bias_act {act}", ops.bias_act(x, b.to(dtype), act=act, clamp=2), expected)
    used = all(cuda.refuses(family, torch.empty(0, device=DEVICE)) is None for family in FAMILIES)
    summary = (
        f"{len(rows)} comparisons, all right."
        if right and used
        else "**Not right, or not used:** "
        + ", ".join([str(row[0]) for row in rows if row[3] == "NO"] + [ops.describe(DEVICE)])
    )
    worst = sorted(rows, key=lambda row: float(str(row[2])), reverse=True)[:12]
    title = (
        "### Kernels against plain torch in float64 on this GPU (largest difference of the largest value; the worst)"
    )
    return markdown(title, ("what", "stored as", "difference", "right"), worst) + f"\n{summary}\n", right and used


FAMILIES = "filtered_lrelu", "upfirdn2d", "bias_act"


def upfirdn2d_double(x: Tensor, f: Tensor, settings: dict) -> Tensor:
    return ops.upfirdn2d(x.double(), f.double(), **settings)


# ---------------------------------------------------------------------------------------------- how fast is it


def kernel_times(repeats: int, copy: float) -> str:
    """Each layer's filtered leaky ReLU, batch 1, with all its channels, in the dtype that the network uses."""
    rows: list[Row] = []
    for network in NETWORKS:
        total = [0.0, 0.0, 0.0]
        for spec in layers(network):
            dtype = torch.float16 if spec.use_fp16 else torch.float32
            raise_, lower = plan(spec, dtype)
            x, kink = picture(spec, spec.out_channels, dtype), Kink(0.2, ACTIVATION_CLAMP)
            b = torch.zeros(spec.out_channels, device=DEVICE)
            arguments = x, b, None, raise_, None, lower, kink
            ours = seconds(partial(cuda.filtered_lrelu, *arguments), repeats, inside=10)
            plain = seconds(partial(in_blocks, *arguments), 3)
            v = torch.randn(1, spec.out_channels, spec.out_size, spec.out_size, device=DEVICE).to(dtype)
            masked = x, b, v, raise_, lower.adjoint(), raise_.adjoint(), kink
            gradient = seconds(partial(cuda.filtered_lrelu, *masked), repeats, inside=10)
            moved = (x.numel() + v.numel()) * x.element_size()
            least = moved / copy
            total = [a + b for a, b in zip(total, (ours, plain, least), strict=True)]
            rows.append(
                (f"{network} {spec.name}", f"up {spec.up_factor} down {spec.down_factor}", str(dtype)[6:])
                + (f"{moved / 1e6:.0f}", f"{least * 1e6:.0f}", f"{ours * 1e6:.0f}", f"{least / ours:.0%}")
                + (f"{gradient * 1e6:.0f}", f"{plain * 1e6:.0f}", f"{plain / ours:.1f}")
            )
        ours, plain, least = total
        rows.append(
            (f"**{network}, sum**", "", "", "", f"{least * 1e6:.0f}", f"{ours * 1e6:.0f}", f"{least / ours:.0%}")
            + ("", f"{plain * 1e6:.0f}", f"{plain / ours:.1f}")
        )
    head = ("layer", "factors", "stored as", "MB to move", "µs to copy them", "µs ours", "of copying")
    return markdown(
        "### filtered_lrelu, all channels, batch 1", (*head, "µs gradient", "µs plain torch", "ratio"), rows
    )


def generators(repeats: int) -> str:
    """Whole synthesis, batch 1: new ws each time, nothing kept from the last picture."""
    rows: list[Row] = []
    for name in NETWORKS:
        network = make(CASES[name].config).to(DEVICE)
        ws = torch.randn([1, network.num_ws, network.w_dim], device=DEVICE)
        half = torch.zeros([])
        for precision, force_fp32 in (("fp16", False), ("float32", True)):
            pictures, row = {}, [name, precision]
            for form in ("ours", "plain torch"):
                with only(form), torch.inference_mode():
                    draw = partial(network.synthesis, ws, force_fp32=force_fp32)
                    pictures[form] = draw().clone()
                    torch.cuda.reset_peak_memory_stats()
                    row.append(f"{1 / seconds(draw, repeats):.1f}")
                    row.append(recorded_speed(draw, repeats))
                    row.append(f"{torch.cuda.max_memory_allocated() / 2**30:.2f}")
            off = (pictures["ours"] - pictures["plain torch"]).abs().mean() * 127.5
            rows.append((*row, f"{float(off):.3f}"))
            if not force_fp32:
                half = pictures["ours"]
            else:
                grey = (pictures["ours"] - half).abs().mean() * 127.5
                rows.append((name, "fp16 against float32, ours", *[""] * 6, f"{float(grey):.3f}"))
        del network
        torch.cuda.empty_cache()
    head = ["network", "precision"]
    for form in ("ours", "plain torch"):
        head += [f"fps, {form}", f"fps, {form}, in a graph", f"GiB at most, {form}"]
    return markdown("### Synthesis, batch 1", (*head, "grey levels apart"), rows)


def recorded_speed(draw: Callable[[], Tensor], repeats: int) -> str:
    """Pictures a second when the whole synthesis is one CUDA graph."""
    try:
        graph, _ = record(draw)
    except RuntimeError as error:
        torch.cuda.synchronize()
        return f"not recordable: {str(error).splitlines()[0][:80]}"
    return f"{1 / seconds(graph.replay, repeats):.1f}"


def training(repeats: int) -> str:
    """Generator forward and backward at 64 pixels, batch 8."""
    rows: list[Row] = []
    for name, config in (("T 64", TRAINING), ("R 64", replace(TRAINING, conv_kernel=1, use_radial_filters=True))):
        network: Generator = make(config).to(DEVICE).train().requires_grad_(True)
        z = torch.randn([8, network.z_dim], device=DEVICE)

        def step(network: Generator = network, z: Tensor = z) -> None:
            network.zero_grad()
            network(z).square().mean().backward()

        times = {}
        for form in ("ours", "plain torch"):
            with only(form):
                times[form] = seconds(step, repeats)
        ours, plain = times["ours"], times["plain torch"]
        rows.append((name, f"{ours * 1e3:.1f}", f"{plain * 1e3:.1f}", f"{plain / ours:.2f}"))
    return markdown("### Training step, batch 8", ("network", "ms ours", "ms plain torch", "ratio"), rows)


def sweep(repeats: int, count: int = 12) -> str:
    """The tiles ranked first for the largest layers, timed: whether the planner's cost is a good guess."""
    rows: list[Row] = []
    usual = cuda_filtered_lrelu._best_tile
    for network in NETWORKS:
        for spec in layers(network)[-5:]:
            raise_, lower = plan(spec, torch.float16)
            x, kink = picture(spec, spec.out_channels, torch.float16), Kink(0.2, ACTIVATION_CLAMP)
            timed = []
            for rank in range(count):
                cuda_filtered_lrelu.filtered_lrelu.cache_clear()
                chosen = {}

                def ranked(*arguments, rank=rank, chosen=chosen):
                    tiles = cuda_filtered_lrelu.ranked(*arguments)
                    chosen["tile"] = tiles[min(rank, len(tiles) - 1)]
                    return chosen["tile"]

                cuda_filtered_lrelu._best_tile = ranked
                arguments = x, None, None, raise_, None, lower, kink
                time = seconds(partial(cuda.filtered_lrelu, *arguments), repeats, inside=10)
                tile = chosen["tile"]
                label = f"{tile.height}x{tile.width}, runs {tile.raise_run} and {tile.after_run}"
                timed.append((time, rank, label))
            first, best = timed[0], min(timed)
            rows.append((f"{network} {spec.name}", first[2], f"{first[0] * 1e6:.0f}", best[2], f"{best[0] * 1e6:.0f}"))
    cuda_filtered_lrelu._best_tile = usual
    cuda_filtered_lrelu.filtered_lrelu.cache_clear()
    return markdown("### Tiles", ("layer", "ranked first", "µs", f"quickest of {count}", "µs"), rows)


# ---------------------------------------------------------------------------------------------- helpers


def layers(network: str) -> list[LayerSpec]:
    """All but the last, which has no filters."""
    config: StyleGAN3Config = CASES[network].config
    return [spec for spec in layer_table(config)[1] if not spec.is_torgb]


def plan(spec: LayerSpec, dtype: torch.dtype) -> tuple[Leg, Leg]:
    """The legs of a layer, on the GPU."""
    up = ops.design_lowpass_filter(spec.up_taps, spec.in_cutoff, spec.in_half_width * 2, spec.tmp_sampling_rate)
    down = ops.design_lowpass_filter(
        spec.down_taps, spec.out_cutoff, spec.out_half_width * 2, spec.tmp_sampling_rate, spec.down_radial
    )
    return legs(picture(spec, 1, dtype), up, down, spec.up_factor, spec.down_factor, spec.padding, 2**0.5)


def picture(spec: LayerSpec, channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """What the convolution hands to a layer's filters."""
    size = spec.in_size + spec.conv_kernel - 1
    return torch.randn(1, channels, size, size, device=DEVICE).to(dtype)


@contextmanager
def only(form: str) -> Iterator[None]:
    """Our kernels, or plain torch."""
    cuda.serve(form == "ours")
    try:
        yield
    finally:
        cuda.serve(True)


def record(work: Callable[[], object]) -> tuple[torch.cuda.CUDAGraph, object]:
    """A CUDA graph of work, which is run first on a stream of its own, as recording wants it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
        work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph, result


def seconds(work: Callable[[], object], repeats: int, inside: int = 1) -> float:
    """Median time of work; with `inside`, of a graph of so many, in which the CPU does not count."""
    work()
    run = work if inside == 1 else record(lambda: [work() for _ in range(inside)])[0].replay
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / inside)
    return median(times)


def markdown(title: str, head: Sequence[str], rows: Sequence[Row]) -> str:
    lines = [title, "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
