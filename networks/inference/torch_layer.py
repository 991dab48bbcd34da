"""StyleGAN3's layers on a CPU in plain torch, without gradients, with prepared weights.

Results equal the path with gradients within 1e-4 of the largest magnitude. 3x3 convolutions use Winograd where that is
faster; others are torch's, with styles folded into the weights, or applied to the input where that is smaller. Feature
maps stay in channels_last memory from layer to layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from networks.inference.layer_constants import demodulation_weights, layer_affine, layer_args
from ops.filtered_lrelu import filtered_lrelu_torch
from ops.winograd import WinogradConv3x3

if TYPE_CHECKING:
    from networks.architectures.stylegan3 import SynthesisLayer

CHANNELS_LAST = torch.channels_last


class PreparedTorchLayer:
    """A `SynthesisLayer` with prepared weights, in plain torch."""

    def __init__(self, module: SynthesisLayer) -> None:
        spec, weight = module.spec, module.weight.detach()
        self.spec, self.padding, self.bias = spec, spec.conv_kernel - 1, module.bias.detach()
        self.args = layer_args(module)
        self.affine, self.demod_weights = layer_affine(module), None if spec.is_torgb else demodulation_weights(module)
        self.winograd = (
            WinogradConv3x3(weight) if spec.conv_kernel == 3 and WinogradConv3x3.is_faster(*weight.shape[:2]) else None
        )
        if self.winograd is None:
            self.weight = weight.contiguous(memory_format=CHANNELS_LAST)  # no copy for 1x1 kernels
        # Scale whichever has fewer elements, the weights or the input.
        self.style_to_weight = spec.in_size**2 >= spec.out_channels * spec.conv_kernel**2

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, in_size, in_size], w [N, w_dim] -> [N, out, out_size, out_size]."""
        x = x.contiguous(memory_format=CHANNELS_LAST)
        styles = self.affine(w)
        demodulation = None if self.demod_weights is None else F.linear(styles.square(), self.demod_weights).rsqrt_()
        if len(x) == 1:
            return filtered_lrelu_torch(self._convolve(x, styles, demodulation), None, None, self.args)
        size = [len(x), self.spec.out_channels, self.spec.out_size, self.spec.out_size]
        out = torch.empty(size, memory_format=CHANNELS_LAST)
        for n in range(len(x)):  # one image at a time, so that what passes from convolution to filter is small
            one = slice(n, n + 1)
            y = self._convolve(x[one], styles[one], None if demodulation is None else demodulation[one])
            filtered_lrelu_torch(y, None, None, self.args, out=out[one])
        return out

    def _convolve(self, x: Tensor, styles: Tensor, demodulation: Tensor | None) -> Tensor:
        """Return conv(x * styles) * demodulation + bias for x [1, I, H, W], styles [1, I], demodulation [1, O]."""
        if self.winograd is not None and demodulation is not None:
            return self.winograd(x, styles[0], demodulation[0], self.bias, self.padding)
        if demodulation is None or self.style_to_weight:
            scale = styles if demodulation is None else demodulation.mT * styles
            return F.conv2d(x, self.weight * scale[:, :, None, None], self.bias, padding=self.padding)
        y = F.conv2d(x * styles[:, :, None, None], self.weight, padding=self.padding)
        return torch.addcmul(self.bias[:, None, None], y, demodulation[:, :, None, None], out=y)
