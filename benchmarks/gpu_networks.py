"""Check whole generators on a GPU against the CPU; time synthesis with and without CUDA graphs, and a training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu_timing import DEVICE, CheckFailed, median_seconds, peak_gib, reset_peak
from benchmarks.networks import CASES, TRAINING, make_generator, random_ws
from benchmarks.report import Section
from networks.architectures.stylegan3 import Generator
from networks.config import StyleGAN3Config
from networks.inference.cuda_graphs import WARMUP_RUNS, CudaGraphCache, Record
from ops.kernels.cuda import dispatch

NETWORKS = "T 1024", "R 1024"
IMPLEMENTATIONS = "ours", "plain torch"
CHECK_CONFIGS = {"T 64": TRAINING, "R 64": replace(TRAINING, conv_kernel=1, use_radial_filters=True)}
MAX_ERROR_FP32 = 0.05  # mean error allowed against the CPU's float32, in gray levels (of 256), for float32
MAX_ERROR_FP16 = 1.0  # and for half precision


def gray_levels(actual: Tensor, expected: Tensor) -> float:
    """Return the mean absolute error in gray levels (of 256), with `expected` scaled to the range [-1, 1]."""
    error = (actual.cpu().float() - expected.cpu().float()).abs().mean() / expected.abs().quantile(0.99).cpu()
    return float(error) * 127.5


def check_against_cpu() -> Section:
    """Compare small generators with the CPU in float32. Raises CheckFailed."""
    rows, wrong = [], []
    for name, config in CHECK_CONFIGS.items():
        network = make_generator(config)
        ws = random_ws(network)
        with torch.inference_mode():
            expected = network.synthesis(ws)
        network = make_generator(config).to(DEVICE)
        for precision, force_fp32, allowed in (("float32", True, MAX_ERROR_FP32), ("fp16", False, MAX_ERROR_FP16)):
            for graph in (False, True):
                with torch.no_grad():
                    actual = _run_as_graph(network, ws.to(DEVICE), force_fp32) if graph else None
                    actual = network.synthesis(ws.to(DEVICE), force_fp32=force_fp32) if actual is None else actual
                error = gray_levels(actual, expected)
                label = f"{precision}, {'as a graph' if graph else 'layer by layer'}"
                wrong += [] if error <= allowed else [f"{name} {label}"]
                rows.append([name, label, f"{error:.4f}", f"{allowed:g}", "yes" if error <= allowed else "NO"])
    text = "Pictures against those of the CPU in float32, in grey levels on average."
    if wrong:
        text = f"**Not right:** {', '.join(wrong)}."
    section = Section("Generators are right", text, ("network", "how", "grey levels", "allowed", "right"), rows)
    if wrong:
        raise CheckFailed(section)
    return section


def _run_as_graph(network: Generator, ws: Tensor, force_fp32: bool) -> Tensor | None:
    """Return the image from a CUDA graph; None where graphs are unavailable."""
    graphs, other = CudaGraphCache(network.synthesis), torch.zeros_like(ws)
    for _ in range(WARMUP_RUNS + 1):
        graphs.run(other, force_fp32=force_fp32)
    state = graphs.run(ws, force_fp32=force_fp32)
    return network.synthesis.to_image(state) if graphs.recorded else None


def generators(repeats: int, cases: dict[str, StyleGAN3Config] | None = None, record: Record | None = None) -> Section:
    """Time synthesis at batch 1 as the renderer runs it; `cases` replaces the networks of the page."""
    rows: list[list[str]] = []
    notes = ["In a graph: as live pictures are made, the result copied out of the graph's memory."]
    for name, config in (cases or {name: CASES[name].config for name in NETWORKS}).items():
        network = make_generator(config).to(DEVICE)
        ws = random_ws(network).to(DEVICE)
        images: dict[str, Tensor] = {}
        for precision, force_fp32 in (("fp16", False), ("float32", True)):
            row = [name, precision]
            for form in IMPLEMENTATIONS:
                with use_implementation(form), torch.no_grad():
                    reset_peak()
                    draw = partial(network.synthesis, ws, force_fp32=force_fp32)
                    images[f"{form} {precision}"] = draw().clone()
                    row += [
                        f"{1 / median_seconds(draw, repeats):.1f}",
                        _graph_speed(network, ws, force_fp32, repeats, record, notes),
                    ]
                    row.append(f"{peak_gib():.2f}")
            error = gray_levels(images[f"ours {precision}"], images["plain torch " + precision])
            rows.append([*row, f"{error:.3f}"])
        half = gray_levels(images["ours fp16"], images["ours float32"])
        notes.append(f"{name}: fp16 is {half:.3f} grey levels from float32.")
        del network
    columns = ["network", "precision"]
    for form in IMPLEMENTATIONS:
        columns += [f"fps, {form}", f"fps, {form}, in a graph", f"GiB at most, {form}"]
    text = "Frames per second of whole synthesis, batch 1, a new w each time; nothing is kept from the last picture."
    return Section("Generators", text, [*columns, "grey levels apart"], rows, notes)


def _graph_speed(
    network: Generator, ws: Tensor, force_fp32: bool, repeats: int, record: Record | None, notes: list[str]
) -> str:
    graphs = CudaGraphCache(network.synthesis, record)
    draw: Callable[[], object] = partial(graphs.run, ws, force_fp32=force_fp32)
    for _ in range(WARMUP_RUNS + 1):
        draw()
    if not graphs.recorded:
        notes.append(f"Not repeated as a graph: {graphs.reason or 'there are no graphs here'}.")
        return "none"
    return f"{1 / median_seconds(draw, repeats):.1f}"


def training(repeats: int, names: Iterable[str] = CHECK_CONFIGS, batch: int = 8) -> Section:
    """Time the generator's forward and backward pass at 64 pixels."""
    rows: list[list[str]] = []
    for name in names:
        network = make_generator(CHECK_CONFIGS[name]).to(DEVICE).train().requires_grad_(True)
        z = torch.randn([batch, network.z_dim], device=DEVICE)

        def step(network: Generator = network, z: Tensor = z) -> None:
            network.zero_grad()
            network(z).square().mean().backward()

        times = {}
        for form in IMPLEMENTATIONS:
            with use_implementation(form):
                times[form] = median_seconds(step, repeats)
        ours, plain = times["ours"], times["plain torch"]
        rows.append([name, f"{ours * 1e3:.1f}", f"{plain * 1e3:.1f}", f"{plain / ours:.2f}"])
    text = f"Generator forward and backward, batch {batch}."
    return Section("Training step", text, ("network", "ms ours", "ms plain torch", "ratio"), rows)


@contextmanager
def use_implementation(form: str) -> Iterator[None]:
    """Use our kernels ('ours') or plain torch while the `with` block runs."""
    dispatch.set_enabled(form == "ours")
    try:
        yield
    finally:
        dispatch.set_enabled(True)
