"""A quicker network of the same weights, whose pictures are nearly those of the exact one: for while a hand is moving.

Of config R alone. Its 1x1 convolutions do not know the grid they work on, so every layer may run at half its rate:
rates are capped, cutoffs clipped, filters designed anew. Where the processor multiplies bfloat16 clearly faster,
convolutions and what is between layers are of that; filters compute in float32. The 3x3 convolutions of config T do
know the grid, and in bfloat16 they are slower than Winograd's are in float32.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.architectures.layerwise import RunOptions, Step, SynthesisState
from networks.architectures.stylegan3 import SynthesisLayer, SynthesisNetwork, layer_filters, layer_table
from networks.inference.layer_constants import demodulation_weights, layer_affine, layer_args
from networks.inference.prepared import PreparedCache, prepare_layer
from ops import kernels
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCpu

CHANNELS_LAST = torch.channels_last
FACTOR = 2  # by which pictures are smaller
MIN_SPEEDUP = 1.2  # times that bfloat16 has to be as fast
M = TypeVar("M", bound=nn.Module)


class Bf16Layer:
    """A layer of 1x1 convolutions, in bfloat16 between the filters."""

    def __init__(self, module: SynthesisLayer) -> None:
        self.weight, self.bias = module.weight.detach(), module.bias.detach()
        self.affine, self.squares = layer_affine(module), demodulation_weights(module)
        self.fused = FilteredLreluCpu(layer_args(module))

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, in_size, in_size] -> [N, out, out_size, out_size] bfloat16."""
        styles = self.affine(w)
        demodulation = F.linear(styles.square(), self.squares).rsqrt_()
        x = x.to(torch.bfloat16, memory_format=CHANNELS_LAST)
        made = [
            self.fused(F.conv2d(one, (self.weight * styles[n, :, None, None]).bfloat16()), self.bias, demodulation[n])
            for n, one in enumerate(x.split(1))
        ]
        return made[0] if len(made) == 1 else torch.cat(made)


def prepare_preview_layer(module: SynthesisLayer) -> Any:
    """The form that serves; ToRGB makes float32."""
    return prepare_layer(module) if module.spec.is_torgb or not bf16_is_faster() else Bf16Layer(module)


class PreviewLayer(SynthesisLayer):
    """A `SynthesisLayer` at another rate; without gradients only."""

    def forward(self, x: Tensor, w: Tensor, update_emas: bool = False) -> Tensor:
        planned = self.prepared.get(self)
        if isinstance(planned, Bf16Layer):
            return planned(x, w)
        return super().forward(x.float(), w, update_emas) if planned is None else planned(x.float(), w)


class PreviewNetwork(SynthesisNetwork):
    """Steps are named as in the exact network; pictures are FACTOR times smaller."""

    def _advance(self, step: Step, state: SynthesisState | None, ws: Tensor, options: RunOptions) -> SynthesisState:
        if state is None:
            return super()._advance(step, state, ws, options)
        return replace(state, x=self.layer(step.name)(state.x, ws[:, step.w_indices[0]]), done=step.index + 1)


def make_preview(synthesis: nn.Module) -> PreviewNetwork | None:
    """The quicker network; weights and the input's transform are shared. None where there is none."""
    if not isinstance(synthesis, SynthesisNetwork) or synthesis.config.conv_kernel != 1:
        return None
    on_cpu = synthesis.input.weight.device.type == "cpu"
    resolution = synthesis.config.img_resolution
    if resolution & (resolution - 1):  # rates are powers of two, so there is none of half this size
        return None
    highest = resolution // FACTOR
    first, table = layer_table(synthesis.config, highest)
    if not on_cpu or first.size != synthesis.input.size or kernels.why_not() is not None:
        return None
    smaller = _shallow_copy_module(synthesis, PreviewNetwork)
    steps = [synthesis.steps[0]]
    for step, spec in zip(synthesis.steps[1:], table, strict=True):
        layer = _shallow_copy_module(synthesis.layer(step.name), PreviewLayer)
        layer.spec, layer.prepared = spec, PreparedCache(prepare_preview_layer)
        with torch.inference_mode(False):  # tensors made under it do not tell when they change, so plans refuse them
            layer.up_filter, layer.down_filter = layer_filters(spec)
        smaller._modules[step.name] = layer
        rates = {"sampling_rate": spec.out_sampling_rate, "cutoff": spec.out_cutoff}
        steps.append(replace(step, resolution=min(spec.out_sampling_rate, highest), size=spec.out_size, **rates))
    smaller.steps = tuple(steps)
    return smaller


def _shallow_copy_module(module: nn.Module, kind: type[M]) -> M:
    """Another module with the same tensors and parts."""
    shell: Any = kind.__new__(kind)
    shell.__dict__.update(module.__dict__)
    for name in ("_parameters", "_buffers", "_modules"):
        shell.__dict__[name] = dict(module.__dict__[name])
    return shell


@cache
def bf16_is_faster() -> bool:
    """Whether this processor multiplies bfloat16 clearly faster than float32: tried once, in about 20 ms."""
    best = {torch.float32: 1.0, torch.bfloat16: 1.0}
    pictures = {d: torch.ones(1, 256, 40, 40, dtype=d).contiguous(memory_format=CHANNELS_LAST) for d in best}
    weights = {d: torch.ones(256, 256, 1, 1, dtype=d) for d in best}
    for _ in range(5):  # in turns, so that what else the machine does meets both
        for dtype in best:
            began = time.perf_counter()
            F.conv2d(pictures[dtype], weights[dtype])
            best[dtype] = min(best[dtype], time.perf_counter() - began)
    return best[torch.float32] > MIN_SPEEDUP * best[torch.bfloat16]
