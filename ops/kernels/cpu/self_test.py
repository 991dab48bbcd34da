"""A compiled kernel is compared with plain torch on small pictures before it is used."""

from __future__ import annotations

import ctypes

import torch
import torch.nn.functional as F
from torch import Tensor

from ops.channel_scale import dot_channels_torch, scale_channels_torch
from ops.filtered_lrelu import LeakyReluClamp, filtered_lrelu_torch, resamplers
from ops.kernels.cpu.convolution import ConvolutionCpu
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCpu, run, run_dot_channels, run_scale_channels
from ops.kernels.cpu.synthesis_layer import SynthesisLayerCpu

TOLERANCE = 1e-5  # of the largest value; an honest kernel is within 5e-6
TOLERANCE_BFLOAT16 = 4e-3  # one rounding
MAX_FLIPPED = (
    0.02  # of a gradient may differ: where the signal is within rounding of the bend, the slope may be the other
)


def find_error(library: ctypes.CDLL) -> str | None:
    """What the library computes wrongly, in words, or None."""
    generator = torch.Generator().manual_seed(5)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    separable, radial = noise(12), noise(12, 12)
    even = radial + radial.flip(0)
    # name, channels, size, up, down, padding, up filter, down filter, clamp
    cases = [
        ("separable", 17, 9, 2, 2, (9, 8, 9, 8), separable, separable, 1.0),
        ("even", 18, 9, 2, 2, (9, 8, 9, 8), separable, separable + separable.flip(0), 1.0),
        ("up 4", 5, 15, 4, 2, (-3, -4, -2, -4), noise(24), separable, 256.0),
        ("radial", 33, 7, 2, 2, (11, 10, 11, 10), separable, even, 1.0),
        ("any filter", 3, 8, 1, 1, (2, 1, 0, 3), noise(3), noise(4, 5), None),
    ]
    for name, channels, size, up, down, padding, fu, fd, clamp in cases:
        x, b = noise(2, channels, size, size + 1), noise(channels)
        raise_, lower = resamplers(x, fu, fd, up, down, padding, 1.4)
        kink = LeakyReluClamp(0.2, clamp)
        expected = filtered_lrelu_torch(x, b, None, raise_, None, lower, kink)
        made = run(library, x, b, None, raise_, None, lower, kink, 1)
        if not _is_close(made, expected, TOLERANCE):
            return name
        if not torch.equal(made, run(library, x, b, None, raise_, None, lower, kink, 3)):
            return f"{name}: threads change the result"
        half = x.bfloat16()
        expected_half = filtered_lrelu_torch(half.float(), b, None, raise_, None, lower, kink)
        made = run(library, half, b, None, raise_, None, lower, kink)
        if not _is_close(made, expected_half, TOLERANCE_BFLOAT16):
            return f"{name}, bfloat16"
        plan = raise_, lower.adjoint(), raise_.adjoint(), kink
        v = noise(*expected.shape)
        if not _is_close(run(library, x, b, v, *plan), filtered_lrelu_torch(x, b, v, *plan), TOLERANCE, MAX_FLIPPED):
            return f"{name}, gradient"
    for kernel, inside, results, size, threads in (
        (3, 19, 37, 9, 1),
        (3, 130, 5, 14, 3),
        (1, 19, 37, 9, 1),
        (1, 130, 5, 14, 3),
        (1, 255, 254, 9, 3),
        (1, 321, 256, 9, 3),
    ):
        x, weight = noise(1, inside, size, size + 1), noise(results, inside, kernel, kernel)
        style, gain = noise(inside), noise(results)
        expected = F.conv2d(x * style[:, None, None], weight, padding=kernel - 1) * gain[:, None, None]
        if not _is_close(ConvolutionCpu(weight, library)(x, style, gain, kernel - 1, threads), expected, TOLERANCE):
            return f"{kernel}x{kernel} convolution"
    for kernel in (1, 3):
        x = noise(2, 32, 7, 9).contiguous(memory_format=torch.channels_last)[:, :19]  # room between pixels
        weight, w = noise(31, 19, kernel, kernel), noise(2, 5)
        affine, offset, squares, b = noise(19, 5), noise(19), noise(31, 19).abs(), noise(31)
        raise_, lower = resamplers(noise(1, 1, 6 + kernel, 8 + kernel), separable, even, 2, 2, (11, 10, 11, 10), 1.4)
        styles = w @ affine.T + offset
        y = F.conv2d(x * styles[:, :, None, None], weight, padding=kernel - 1)
        y = y * (styles.square() @ squares.T).rsqrt()[:, :, None, None]
        expected = filtered_lrelu_torch(y, b, None, raise_, None, lower, LeakyReluClamp(0.2, 1.0))
        fused = FilteredLreluCpu(raise_, lower, LeakyReluClamp(0.2, 1.0))
        layer = SynthesisLayerCpu(
            ConvolutionCpu(weight, library), fused, affine, offset, squares, b, kernel - 1, library
        )
        if not _is_close(layer(x, w), expected, TOLERANCE):
            return f"layer of {kernel}x{kernel} kernels"
    for channels, side in ((17, 5), (130, 3)):
        x, y, s = noise(2, channels, side, 4), noise(2, channels, side, 4), noise(2, channels)
        if not _is_close(run_scale_channels(library, x, s), scale_channels_torch(x, s), TOLERANCE):
            return "scaling of channels"
        if not _is_close(run_dot_channels(library, x, y), dot_channels_torch(x, y), TOLERANCE):
            return "sums of channels"
    return None


def _is_close(made: Tensor, expected: Tensor, tolerance: float, apart: float = 0.0) -> bool:
    close = (made.float() - expected).abs() <= tolerance * expected.abs().max()
    return float((~close).float().mean()) <= apart
