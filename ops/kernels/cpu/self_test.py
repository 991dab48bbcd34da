"""Compare a compiled kernel with plain torch on small inputs before it is used."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ops.channel_scale import dot_channels_torch, scale_channels_torch
from ops.filtered_lrelu import FilteredLreluArgs, LeakyReluClamp, filtered_lrelu_torch, resamplers
from ops.kernels.cpu.convolution import ConvolutionCpu
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCpu, run, run_dot_channels, run_scale_channels
from ops.kernels.cpu.synthesis_layer import SynthesisLayerCpu

TOLERANCE = 1e-5  # relative to the largest value; a correct kernel is within 5e-6
TOLERANCE_BFLOAT16 = 4e-3  # one rounding
# The share of a gradient's values that may differ: where the upsampled signal is within rounding of zero or of the
# clamp, the derivative may be that of the other side.
MAX_FLIPPED = 0.02

Noise = Callable[..., Tensor]


def find_error(library: ctypes.CDLL) -> str | None:
    """Return in words what the library computes wrongly, or None. Raises MemoryError."""
    generator = torch.Generator().manual_seed(5)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    separable, radial = noise(12), noise(12, 12)
    symmetric = radial + radial.flip(0)
    return (
        _filtered_lrelu_error(library, noise, separable, symmetric)
        or _convolution_error(library, noise)
        or _synthesis_layer_error(library, noise, separable, symmetric)
        or _channel_ops_error(library, noise)
    )


def _filtered_lrelu_error(library: ctypes.CDLL, noise: Noise, separable: Tensor, symmetric: Tensor) -> str | None:
    # name, channels, size, up, down, padding, up filter, down filter, clamp
    cases = [
        ("separable", 17, 9, 2, 2, (9, 8, 9, 8), separable, separable, 1.0),
        ("even", 18, 9, 2, 2, (9, 8, 9, 8), separable, separable + separable.flip(0), 1.0),
        ("up 4", 5, 15, 4, 2, (-3, -4, -2, -4), noise(24), separable, 256.0),
        ("radial", 33, 7, 2, 2, (11, 10, 11, 10), separable, symmetric, 1.0),
        ("any filter", 3, 8, 1, 1, (2, 1, 0, 3), noise(3), noise(4, 5), None),
    ]
    for name, channels, size, up, down, padding, fu, fd, clamp in cases:
        x, b = noise(2, channels, size, size + 1), noise(channels)
        args = FilteredLreluArgs(*resamplers(x, fu, fd, up, down, padding, 1.4), LeakyReluClamp(0.2, clamp))
        expected = filtered_lrelu_torch(x, b, None, args)
        actual = run(library, x, b, None, args, threads=1)
        if not _is_close(actual, expected, TOLERANCE):
            return name
        if not torch.equal(actual, run(library, x, b, None, args, threads=3)):
            return f"{name}: threads change the result"
        half = x.bfloat16()
        expected_half = filtered_lrelu_torch(half.float(), b, None, args)
        if not _is_close(run(library, half, b, None, args), expected_half, TOLERANCE_BFLOAT16):
            return f"{name}, bfloat16"
        grad, backward = noise(*expected.shape), args.adjoint()
        expected_grad = filtered_lrelu_torch(x, b, grad, backward)
        if not _is_close(run(library, x, b, grad, backward), expected_grad, TOLERANCE, MAX_FLIPPED):
            return f"{name}, gradient"
    return None


def _convolution_error(library: ctypes.CDLL, noise: Noise) -> str | None:
    for kernel, in_channels, out_channels, size, threads in (
        (3, 19, 37, 9, 1),
        (3, 130, 5, 14, 3),
        (1, 19, 37, 9, 1),
        (1, 130, 5, 14, 3),
        (1, 255, 254, 9, 3),
        (1, 321, 256, 9, 3),
    ):
        x, weight = noise(1, in_channels, size, size + 1), noise(out_channels, in_channels, kernel, kernel)
        input_scale, output_scale = noise(in_channels), noise(out_channels)
        expected = F.conv2d(x * input_scale[:, None, None], weight, padding=kernel - 1) * output_scale[:, None, None]
        actual = ConvolutionCpu(weight, library)(x, input_scale, output_scale, kernel - 1, threads)
        if not _is_close(actual, expected, TOLERANCE):
            return f"{kernel}x{kernel} convolution"
    return None


def _synthesis_layer_error(library: ctypes.CDLL, noise: Noise, separable: Tensor, symmetric: Tensor) -> str | None:
    for kernel in (1, 3):
        x = noise(2, 32, 7, 9).contiguous(memory_format=torch.channels_last)[:, :19]  # padding between pixels
        weight, w = noise(31, 19, kernel, kernel), noise(2, 5)
        affine, affine_bias, demod_weights, b = noise(19, 5), noise(19), noise(31, 19).abs(), noise(31)
        like = noise(1, 1, 6 + kernel, 8 + kernel)
        stages = resamplers(like, separable, symmetric, 2, 2, (11, 10, 11, 10), 1.4)
        args = FilteredLreluArgs(*stages, LeakyReluClamp(0.2, 1.0))
        styles = w @ affine.T + affine_bias
        y = F.conv2d(x * styles[:, :, None, None], weight, padding=kernel - 1)
        y = y * (styles.square() @ demod_weights.T).rsqrt()[:, :, None, None]
        expected = filtered_lrelu_torch(y, b, None, args)
        convolution = ConvolutionCpu(weight, library)
        activation = FilteredLreluCpu(args)
        layer = SynthesisLayerCpu(convolution, activation, affine, affine_bias, demod_weights, b, kernel - 1, library)
        if not _is_close(layer(x, w), expected, TOLERANCE):
            return f"layer of {kernel}x{kernel} kernels"
    return None


def _channel_ops_error(library: ctypes.CDLL, noise: Noise) -> str | None:
    for channels, size in ((17, 5), (130, 3)):
        x, y, s = noise(2, channels, size, 4), noise(2, channels, size, 4), noise(2, channels)
        if not _is_close(run_scale_channels(library, x, s), scale_channels_torch(x, s), TOLERANCE):
            return "scaling of channels"
        if not _is_close(run_dot_channels(library, x, y), dot_channels_torch(x, y), TOLERANCE):
            return "sums of channels"
    return None


def _is_close(actual: Tensor, expected: Tensor, tolerance: float, max_flipped: float = 0.0) -> bool:
    close = (actual.float() - expected).abs() <= tolerance * expected.abs().max()
    return float((~close).float().mean()) <= max_flipped
