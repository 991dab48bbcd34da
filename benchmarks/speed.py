"""The measurements, each function for a fresh process (see measure.run_in_process): generators, ops, training."""

from __future__ import annotations

from dataclasses import asdict, replace
from statistics import median
from typing import Any

import torch

from benchmarks import baseline
from benchmarks.measure import load_average, measure_limits, peak_memory, time_pairs, time_repeatedly
from benchmarks.networks import CASES, TRAINING, T, count_workload, make_generator, random_ws
from networks import save_networks
from ops import filtered_lrelu, kernels

R_CASE, T_CASE = "R 256", "T 256"
OPS = {  # name: (network, layer index, ratio that the prototype reached)
    "T 128, 8192/128: L9, up 4": ("T 128, 8192/128", 9, "33"),
    "T 128, 8192/128: L12": ("T 128, 8192/128", 12, "18 to 21"),
    "T 128, 8192/128: L2": ("T 128, 8192/128", 2, "15 to 18"),
    "R 128, 16384/256: L9, radial, up 4": ("R 128, 16384/256", 9, "21"),
    "T 256: L8": (T_CASE, 8, "about 35"),
    "R 256: L10, radial, up 4": (R_CASE, 10, "about 31"),
}


def generator(case: str, batch: int, seconds: float, min_count: int, with_plain: bool = True) -> dict[str, Any]:
    """Time a whole synthesis against the plain path, with their relative error and the machine's limits."""
    kernels.load(wait=True)
    network = make_generator(CASES[case].config)
    synthesis, ws = network.synthesis, random_ws(network, batch)
    result: dict[str, Any] = {"form": implementation_name()}
    with torch.inference_mode():
        machine = measure_limits(1.0)
        if with_plain:
            ours, plain = synthesis(ws), baseline.generate(synthesis, ws)
            result["error"] = float((ours - plain).abs().max() / plain.abs().max())
            del ours, plain
            measured = time_pairs(
                lambda: synthesis(ws),
                lambda: baseline.generate(synthesis, ws),
                seconds,
                min_count=min_count,
                warm_up=False,
            )
            result |= asdict(measured)
        else:
            times = time_repeatedly(lambda: synthesis(ws), seconds, min_count)
            result |= {"ours": min(times), "ours_median": median(times), "count": len(times)}
    again = measure_limits(1.0)
    best = {name: max(machine[name], again[name]) for name in machine}
    limit = batch * count_workload(CASES[case].config).seconds(**best)
    return result | {"limit": limit, "over_limit": result["ours"] / limit, "load": load_average(), **best}


def implementation_name() -> str:
    """Return which implementation of the kernels is in use, in two words at most."""
    return kernels.active_backend().split(" kernel-")[0]


def memory(case: str, plain: bool) -> int:
    """Return the peak bytes of one image, beyond network, libraries and interpreter."""
    kernels.load(wait=True)
    network = make_generator(CASES[case].config)
    small = make_generator(replace(T, img_resolution=16, channel_base=64, num_layers=4, margin_size=2))
    run = baseline.generate if plain else lambda synthesis, ws: synthesis(ws)
    with torch.inference_mode():
        run(small.synthesis, random_ws(small))  # so that what torch loads lazily is not counted
        ws = random_ws(network)
        return peak_memory(lambda: run(network.synthesis, ws))


def filtered_lrelu_layer(name: str, seconds: float, min_count: int) -> dict[str, Any]:
    """Time filtered_lrelu alone, at the size of one layer."""
    kernels.load(wait=True)
    case, number, _ = OPS[name]
    synthesis = make_generator(CASES[case].config).synthesis
    layer = synthesis.layer(synthesis.layer_names[number])
    spec = layer.spec
    size = spec.in_size + spec.conv_kernel - 1
    x = torch.randn(1, spec.out_channels, size, size)
    nhwc = x.contiguous(memory_format=torch.channels_last)
    filters, bias = (layer.up_filter, layer.down_filter), layer.bias
    up, down, padding = spec.up_factor, spec.down_factor, spec.padding
    with torch.inference_mode():

        def ours() -> torch.Tensor:
            return filtered_lrelu(nhwc, *filters, bias, up, down, padding, clamp=256)

        def plain() -> torch.Tensor:
            return baseline.filtered_lrelu(x, *filters, bias, up, down, padding, 2**0.5, 0.2, 256)

        error = float((ours() - plain()).abs().max() / plain().abs().max())
        return {
            "form": implementation_name(),
            "error": error,
            "load": load_average(),
            **asdict(time_pairs(ours, plain, seconds, min_count=min_count)),
        }


def training(seconds: float, min_count: int, batch: int = 8, warm_up: bool = True) -> dict[str, Any]:
    """Time forward and backward of a generator, with gradients of all its weights."""
    kernels.load(wait=True)
    network = make_generator(TRAINING).train().requires_grad_(True)
    synthesis, ws = network.synthesis, random_ws(network, batch)
    direction = torch.randn(batch, 3, TRAINING.img_resolution, TRAINING.img_resolution)
    parameters = list(synthesis.parameters())

    def step(run) -> None:
        torch.autograd.grad((run(ws) * direction).sum(), parameters)

    def forward(run) -> None:
        with torch.no_grad():
            run(ws)

    def plain(ws: torch.Tensor) -> torch.Tensor:
        return baseline.generate(synthesis, ws)

    both = time_pairs(
        lambda: step(synthesis), lambda: step(plain), seconds * 2 / 3, min_count=min_count, warm_up=warm_up
    )
    one = time_pairs(
        lambda: forward(synthesis), lambda: forward(plain), seconds / 3, min_count=min_count, warm_up=warm_up
    )
    return {"form": implementation_name(), "load": load_average(), "both": asdict(both), "forward": asdict(one)}


def write_network(case: str, path: str) -> None:
    """Save a network with random weights."""
    save_networks(path, {"G_ema": make_generator(CASES[case].config)})


def growth(resolution: int, channel_max: int, batch: int, seconds: float, with_plain: bool = True) -> dict[str, Any]:
    """Time one point of the growth table: a T network with a channel base of 32 * resolution."""
    kernels.load(wait=True)
    network = make_generator(
        replace(T, img_resolution=resolution, channel_base=32 * resolution, channel_max=channel_max)
    )
    synthesis, ws = network.synthesis, random_ws(network, batch)
    with torch.inference_mode():
        if not with_plain:
            return {"ours": min(time_repeatedly(lambda: synthesis(ws), seconds))}
        return asdict(time_pairs(lambda: synthesis(ws), lambda: baseline.generate(synthesis, ws), seconds, min_count=2))
