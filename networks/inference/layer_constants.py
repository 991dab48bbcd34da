"""What the plans of a StyleGAN3 layer have in common: styles, demodulation and filters, as far as weights tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor

from ops import square_weight
from ops.filtered_lrelu import FilteredLreluArgs, LeakyReluClamp, resamplers
from ops.modulated_conv import EPSILON

if TYPE_CHECKING:
    from networks.architectures.stylegan3 import SynthesisLayer


@dataclass(frozen=True, eq=False)
class Affine:
    """w -> styles, with the gain in the weights."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def from_module(cls, module: Any, gain: float | Tensor = 1.0) -> Affine:
        return cls(module.weight * (module.weight_gain * gain), module.bias * (module.bias_gain * gain))

    def __call__(self, w: Tensor) -> Tensor:
        return F.linear(w, self.weight, self.bias)


def layer_args(module: SynthesisLayer) -> FilteredLreluArgs:
    """Build the arguments of a layer's filtered leaky ReLU."""
    spec = module.spec
    size = 2 * [spec.in_size + spec.conv_kernel - 1]
    gain, slope = (1.0, 1.0) if spec.is_torgb else (math.sqrt(2), 0.2)
    up, down, like = spec.up_factor, spec.down_factor, module.weight.detach().new_empty(1, 1, *size)
    upsampler, downsampler = resamplers(like, module.up_filter, module.down_filter, up, down, spec.padding, gain)
    return FilteredLreluArgs(upsampler, downsampler, LeakyReluClamp(slope, module.conv_clamp))


def layer_affine(module: SynthesisLayer) -> Affine:
    """The styles of a layer; all that its weights are scaled with is in those of ToRGB."""
    if not module.spec.is_torgb:
        return Affine.from_module(module.affine)
    return Affine.from_module(module.affine, module.magnitude_ema.rsqrt() / math.sqrt(prod(module.weight.shape[1:])))


def demodulation_weights(module: SynthesisLayer) -> Tensor:
    """[O, I]: what the squares of styles are multiplied with to be demodulation to the power of -2.

    Demodulation undoes what brings weights and styles to unit mean square, all but for the epsilon. So they are left as
    they are, and the epsilon is scaled instead: it goes into the table, as does the gain.
    """
    weight = module.weight.detach()
    power = weight.square().mean([1, 2, 3])[:, None]
    return (square_weight(weight) + power * (EPSILON / module.spec.in_channels)) * module.magnitude_ema
