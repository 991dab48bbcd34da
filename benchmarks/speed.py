"""What is measured, each function in a process of its own (see measure.apart): generators, ops, training, growth."""

from __future__ import annotations

from dataclasses import asdict, replace
from statistics import median
from typing import Any

import torch

from benchmarks import baseline
from benchmarks.measure import limits, load, pairs, peak_memory, repeated
from benchmarks.networks import CASES, TRAINING, T, make, need, ws_for
from networks import save_networks
from ops import filtered_lrelu, kernels

R_CASE, T_CASE = "R 256", "T 256"
OPS = {  # name: network of which the layer is, layer, what the prototype reached
    "T 128, 8192/128: L9, up 4": ("T 128, 8192/128", 9, "33"),
    "T 128, 8192/128: L12": ("T 128, 8192/128", 12, "18 to 21"),
    "T 128, 8192/128: L2": ("T 128, 8192/128", 2, "15 to 18"),
    "R 128, 16384/256: L9, radial, up 4": ("R 128, 16384/256", 9, "21"),
    "T 256: L8": (T_CASE, 8, "about 35"),
    "R 256: L10, radial, up 4": (R_CASE, 10, "about 31"),
}


def generator(case: str, batch: int, seconds: float, least: int, with_plain: bool = True) -> dict[str, Any]:
    """A whole synthesis against the plain one: pairs, how far apart they are, the limits in the same run."""
    kernels.ready(wait=True)
    network = make(CASES[case].config)
    synthesis, ws = network.synthesis, ws_for(network, batch)
    result: dict[str, Any] = {"form": form()}
    with torch.inference_mode():
        machine = limits(1.0)
        if with_plain:
            ours, plain = synthesis(ws), baseline.generate(synthesis, ws)
            result["error"] = float((ours - plain).abs().max() / plain.abs().max())
            del ours, plain
            measured = pairs(
                lambda: synthesis(ws), lambda: baseline.generate(synthesis, ws), seconds, least=least, warm=False
            )
            result |= asdict(measured)
        else:
            times = repeated(lambda: synthesis(ws), seconds, least)
            result |= {"ours": min(times), "ours_median": median(times), "count": len(times)}
    again = limits(1.0)
    best = {name: max(machine[name], again[name]) for name in machine}
    limit = batch * need(CASES[case].config).seconds(**best)
    return result | {"limit": limit, "over_limit": result["ours"] / limit, "load": load(), **best}


def form() -> str:
    """Which form of the kernels computes, in two words at most."""
    return kernels.serving().split(" kernel-")[0]


def memory(case: str, plain: bool) -> int:
    """Bytes that one picture takes at its peak, beyond network, libraries and interpreter."""
    kernels.ready(wait=True)
    network = make(CASES[case].config)
    small = make(replace(T, img_resolution=16, channel_base=64, num_layers=4, margin_size=2))
    run = baseline.generate if plain else lambda synthesis, ws: synthesis(ws)
    with torch.inference_mode():
        run(small.synthesis, ws_for(small))  # what torch loads late is not the picture's
        ws = ws_for(network)
        return peak_memory(lambda: run(network.synthesis, ws))


def op(name: str, seconds: float, least: int) -> dict[str, Any]:
    """filtered_lrelu alone, at the size of one layer."""
    kernels.ready(wait=True)
    case, number, _ = OPS[name]
    synthesis = make(CASES[case].config).synthesis
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
        return {"form": form(), "error": error, "load": load(), **asdict(pairs(ours, plain, seconds, least=least))}


def training(seconds: float, least: int, batch: int = 8, warm: bool = True) -> dict[str, Any]:
    """Forward and backward of a generator with all its weights' gradients."""
    kernels.ready(wait=True)
    network = make(TRAINING).train().requires_grad_(True)
    synthesis, ws = network.synthesis, ws_for(network, batch)
    direction = torch.randn(batch, 3, TRAINING.img_resolution, TRAINING.img_resolution)
    parameters = list(synthesis.parameters())

    def step(run) -> None:
        torch.autograd.grad((run(ws) * direction).sum(), parameters)

    def forward(run) -> None:
        with torch.no_grad():
            run(ws)

    def plain(ws: torch.Tensor) -> torch.Tensor:
        return baseline.generate(synthesis, ws)

    both = pairs(lambda: step(synthesis), lambda: step(plain), seconds * 2 / 3, least=least, warm=warm)
    one = pairs(lambda: forward(synthesis), lambda: forward(plain), seconds / 3, least=least, warm=warm)
    return {"form": form(), "load": load(), "both": asdict(both), "forward": asdict(one)}


def write(case: str, path: str) -> None:
    """A network with random weights into a file."""
    save_networks(path, {"G_ema": make(CASES[case].config)})


def growth(resolution: int, most: int, batch: int, seconds: float, with_plain: bool = True) -> dict[str, Any]:
    """One point of the growth table: a T network of base 32 * resolution."""
    kernels.ready(wait=True)
    network = make(replace(T, img_resolution=resolution, channel_base=32 * resolution, channel_max=most))
    synthesis, ws = network.synthesis, ws_for(network, batch)
    with torch.inference_mode():
        if not with_plain:
            return {"ours": min(repeated(lambda: synthesis(ws), seconds))}
        return asdict(pairs(lambda: synthesis(ws), lambda: baseline.generate(synthesis, ws), seconds, least=2))
