"""A faster approximation of a config R network, with the same weights, shown while the user drags something.

Config R's 1x1 convolutions do not depend on the sampling grid, so every layer may run at half its rate: rates are
capped, cutoffs clipped, filters designed again. Where the CPU multiplies bfloat16 clearly faster, convolutions and the
feature maps between layers are bfloat16; filters compute in float32. The 3x3 convolutions of config T do depend on the
grid, and in bfloat16 they are slower than Winograd convolutions in float32.
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
FACTOR = 2  # by which the image's sides are shorter
MIN_SPEEDUP = 1.2  # of bfloat16 over float32, to use it
M = TypeVar("M", bound=nn.Module)


class Bf16Layer:
    """A layer with 1x1 convolution in bfloat16; its filters compute in float32."""

    def __init__(self, module: SynthesisLayer) -> None:
        self.weight, self.bias = module.weight.detach(), module.bias.detach()
        self.affine, self.demod_weights = layer_affine(module), demodulation_weights(module)
        self.fused = FilteredLreluCpu(layer_args(module))

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, in_size, in_size] -> [N, out, out_size, out_size] bfloat16."""
        styles = self.affine(w)
        demodulation = F.linear(styles.square(), self.demod_weights).rsqrt_()
        x = x.to(torch.bfloat16, memory_format=CHANNELS_LAST)
        outputs = [
            self.fused(F.conv2d(x_n, (self.weight * styles[n, :, None, None]).bfloat16()), self.bias, demodulation[n])
            for n, x_n in enumerate(x.split(1))
        ]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def prepare_preview_layer(module: SynthesisLayer) -> Any:
    """Prepare a layer in bfloat16 if that is faster, else as usual; ToRGB always in float32."""
    return prepare_layer(module) if module.spec.is_torgb or not bf16_is_faster() else Bf16Layer(module)


class PreviewLayer(SynthesisLayer):
    """A `SynthesisLayer` at another sampling rate, for inference only."""

    def forward(self, x: Tensor, w: Tensor, update_emas: bool = False) -> Tensor:
        prepared = self.prepared.get(self)
        if isinstance(prepared, Bf16Layer):
            return prepared(x, w)
        return super().forward(x.float(), w, update_emas) if prepared is None else prepared(x.float(), w)


class PreviewNetwork(SynthesisNetwork):
    """A network whose steps have the names of the exact one's, and whose images are FACTOR times smaller."""

    def _advance(self, step: Step, state: SynthesisState | None, ws: Tensor, options: RunOptions) -> SynthesisState:
        if state is None:
            return super()._advance(step, state, ws, options)
        return replace(state, x=self.layer(step.name)(state.x, ws[:, step.w_indices[0]]), done=step.index + 1)


def make_preview(synthesis: nn.Module) -> PreviewNetwork | None:
    """Make the preview of a network; it shares weights and the input's transform with it.

    None for networks other than config R on a CPU with the compiled kernel, and those whose rates cannot be halved.
    """
    if not isinstance(synthesis, SynthesisNetwork) or synthesis.config.conv_kernel != 1:
        return None
    on_cpu = synthesis.input.weight.device.type == "cpu"
    resolution = synthesis.config.img_resolution
    if resolution & (resolution - 1):  # rates are powers of two, so none fits half this resolution
        return None
    max_rate = resolution // FACTOR
    first, table = layer_table(synthesis.config, max_rate)
    if not on_cpu or first.size != synthesis.input.size or kernels.unavailable_reason() is not None:
        return None
    preview = _shallow_copy_module(synthesis, PreviewNetwork)
    steps = [synthesis.steps[0]]
    for step, spec in zip(synthesis.steps[1:], table, strict=True):
        layer = _shallow_copy_module(synthesis.layer(step.name), PreviewLayer)
        layer.spec, layer.prepared = spec, PreparedCache(prepare_preview_layer)
        with torch.inference_mode(False):  # inference-mode tensors have no version counter, which PreparedCache needs
            layer.up_filter, layer.down_filter = layer_filters(spec)
        preview._modules[step.name] = layer
        rates = {"sampling_rate": spec.out_sampling_rate, "cutoff": spec.out_cutoff}
        steps.append(replace(step, resolution=min(spec.out_sampling_rate, max_rate), size=spec.out_size, **rates))
    preview.steps = tuple(steps)
    return preview


def _shallow_copy_module(module: nn.Module, kind: type[M]) -> M:
    """Make a module of class `kind` that shares tensors and submodules with `module`."""
    copy: Any = kind.__new__(kind)
    copy.__dict__.update(module.__dict__)
    for name in ("_parameters", "_buffers", "_modules"):
        copy.__dict__[name] = dict(module.__dict__[name])
    return copy


@cache
def bf16_is_faster() -> bool:
    """Whether this CPU convolves bfloat16 at least MIN_SPEEDUP times as fast as float32; measured once, in 20 ms."""
    best = {torch.float32: 1.0, torch.bfloat16: 1.0}
    inputs = {d: torch.ones(1, 256, 40, 40, dtype=d).contiguous(memory_format=CHANNELS_LAST) for d in best}
    weights = {d: torch.ones(256, 256, 1, 1, dtype=d) for d in best}
    for _ in range(5):  # interleaved, so that other load affects both
        for dtype in best:
            start_time = time.perf_counter()
            F.conv2d(inputs[dtype], weights[dtype])
            best[dtype] = min(best[dtype], time.perf_counter() - start_time)
    return best[torch.float32] > MIN_SPEEDUP * best[torch.bfloat16]
