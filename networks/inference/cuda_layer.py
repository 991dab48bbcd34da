"""StyleGAN3's layers on an NVIDIA GPU, without gradients, with everything that depends only on weights precomputed.

Like `networks/inference/prepared.py`, but safe for float16: weights and styles are normalized to unit mean square
before they are multiplied, so that sums stay within range, and the fused kernel applies the demodulation in float32 as
it reads. For one image the styles are folded into the weights, which are rounded in the same pass; for a batch they
scale the input feature maps.
"""

from __future__ import annotations

import math
from math import prod
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from networks.inference.prepared import Affine
from ops import filtered_lrelu, square_weight
from ops.filtered_lrelu import FilteredLreluArgs, LeakyReluClamp, resamplers
from ops.kernels.cuda import dispatch
from ops.modulated_conv import EPSILON

if TYPE_CHECKING:
    from networks.architectures.stylegan3 import SynthesisLayer


class PreparedCudaLayer:
    """A `SynthesisLayer` with precomputed constants for the fused CUDA kernel."""

    def __init__(self, module: SynthesisLayer) -> None:
        spec, weight = module.spec, module.weight.detach()
        self.spec, self.clamp, self.padding = spec, module.conv_clamp, spec.conv_kernel - 1
        self.filters, self.bias = (module.up_filter, module.down_filter), module.bias.detach()
        gain, fan = module.magnitude_ema.rsqrt(), math.sqrt(prod(weight.shape[1:]))
        if spec.is_torgb:
            self.affine, self.weight = Affine.from_module(module.affine, gain / fan), weight
            return
        self.affine = Affine.from_module(module.affine)
        unit = weight * weight.square().mean([1, 2, 3], keepdim=True).rsqrt()
        self.weight = unit / fan  # so that the convolution's output is about as large as its input
        scale = (fan * gain).square()  # undoes both factors in the demodulation
        self.demod_weights, self.epsilon = (square_weight(unit) / scale).T.contiguous(), EPSILON / scale
        up, down, like = spec.up_factor, spec.down_factor, weight.new_empty(1, 1, *2 * [spec.in_size + self.padding])
        upsampler, downsampler = resamplers(like, *self.filters, up, down, spec.padding, gain=math.sqrt(2))
        self.args = FilteredLreluArgs(upsampler, downsampler, LeakyReluClamp(0.2, self.clamp))

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, in_size, in_size], w [N, w_dim] -> [N, out, out_size, out_size] in x's dtype."""
        styles = self.affine(w)
        if self.spec.is_torgb:
            y = self._convolve(x, styles)
            up, down, padding = self.spec.up_factor, self.spec.down_factor, self.spec.padding
            bias = self.bias.to(x.dtype)
            return filtered_lrelu(y, *self.filters, bias, up, down, padding, gain=1, slope=1, clamp=self.clamp)
        styles = styles * styles.square().mean(1, keepdim=True).rsqrt()
        demodulation = (styles.square() @ self.demod_weights + self.epsilon).rsqrt()
        y = self._convolve(x, styles)
        return dispatch.filtered_lrelu(y, self.bias, None, self.args, input_scale=demodulation)

    def _convolve(self, x: Tensor, styles: Tensor) -> Tensor:
        if len(x) > 1:
            scaled = x * styles.to(x.dtype)[:, :, None, None]
            return F.conv2d(scaled, self.weight.to(x.dtype), padding=self.padding)
        weight = torch.empty_like(self.weight, dtype=x.dtype)
        torch.mul(self.weight, styles[0, :, None, None], out=weight)
        return F.conv2d(x, weight, padding=self.padding)


def supports(x: Tensor) -> bool:
    """Whether the fused kernel supports x, so that a PreparedCudaLayer can be used."""
    return x.is_cuda and dispatch.unsupported_reason("filtered_lrelu", x) is None
