"""StyleGAN3's layers on a CPU in plain torch, without gradients: all that depends on weights alone is worked out once.

The steps and their states are those of the path with gradients, equal to 1e-4 of the picture's largest value. 3x3
convolutions are Winograd's where that is quicker; the others are torch's, with the styles in the weights (or in the
picture, where that is smaller). Pictures stay in channels_last memory from layer to layer.
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
    """A `SynthesisLayer`, prepared."""

    def __init__(self, module: SynthesisLayer) -> None:
        spec, weight = module.spec, module.weight.detach()
        self.spec, self.padding, self.bias = spec, spec.conv_kernel - 1, module.bias.detach()
        self.args = layer_args(module)
        self.affine, self.squares = layer_affine(module), None if spec.is_torgb else demodulation_weights(module)
        self.winograd = (
            WinogradConv3x3(weight) if spec.conv_kernel == 3 and WinogradConv3x3.is_faster(*weight.shape[:2]) else None
        )
        if self.winograd is None:
            self.weight = weight.contiguous(memory_format=CHANNELS_LAST)  # of 1x1 kernels this is no copy
        # Where one picture has more numbers than the weights, styles go into the weights, else into the picture.
        self.style_to_weight = spec.in_size**2 >= spec.out_channels * spec.conv_kernel**2

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, in_size, in_size], w [N, w_dim] -> [N, out, out_size, out_size]."""
        x = x.contiguous(memory_format=CHANNELS_LAST)
        styles = self.affine(w)
        gains = None if self.squares is None else F.linear(styles.square(), self.squares).rsqrt_()
        if len(x) == 1:
            return filtered_lrelu_torch(self._convolve(x, styles, gains), None, None, self.args)
        size = [len(x), self.spec.out_channels, self.spec.out_size, self.spec.out_size]
        out = torch.empty(size, memory_format=CHANNELS_LAST)
        for n in range(len(x)):  # one by one: what goes from convolution to filter is then small
            one = slice(n, n + 1)
            y = self._convolve(x[one], styles[one], None if gains is None else gains[one])
            filtered_lrelu_torch(y, None, None, self.args, out=out[one])
        return out

    def _convolve(self, x: Tensor, styles: Tensor, gains: Tensor | None) -> Tensor:
        """x [1,I,H,W] times styles [1,I], convolved, times gains [1,O], plus the bias."""
        if self.winograd is not None and gains is not None:
            return self.winograd(x, styles[0], gains[0], self.bias, self.padding)
        if gains is None or self.style_to_weight:
            scale = styles if gains is None else gains.mT * styles
            return F.conv2d(x, self.weight * scale[:, :, None, None], self.bias, padding=self.padding)
        y = F.conv2d(x * styles[:, :, None, None], self.weight, padding=self.padding)
        return torch.addcmul(self.bias[:, None, None], y, gains[:, :, None, None], out=y)
