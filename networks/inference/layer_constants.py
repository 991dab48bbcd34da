"""Constants of a StyleGAN3 layer that depend only on its weights: styles, demodulation, filters."""

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
    """The affine layer from w [N, w_dim] to styles [N, in], with all gains folded into weight and bias."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def from_module(cls, module: Any, gain: float | Tensor = 1.0) -> Affine:
        """Fold the gains of a `FullyConnected`, times `gain`, into its weight and bias."""
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
    """Return a layer's affine layer; for ToRGB with the scale of its weights and input folded into the styles."""
    if not module.spec.is_torgb:
        return Affine.from_module(module.affine)
    return Affine.from_module(module.affine, module.magnitude_ema.rsqrt() / math.sqrt(prod(module.weight.shape[1:])))


def demodulation_weights(module: SynthesisLayer) -> Tensor:
    """Return A [O, I] such that the demodulation is (A @ styles**2) ** -0.5 (Karras et al. 2020, Equation 3).

    Demodulation cancels the normalization of weights and styles to unit mean square, except in the epsilon. So weights
    and styles are not normalized, and A contains the epsilon, scaled accordingly, and the input gain.
    """
    weight = module.weight.detach()
    power = weight.square().mean([1, 2, 3])[:, None]
    return (square_weight(weight) + power * (EPSILON / module.spec.in_channels)) * module.magnitude_ema
