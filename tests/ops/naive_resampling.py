"""Slow float64 reference for the resampling ops, written step by step from their definitions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def upfirdn2d(x, f, up, down, padding, flip_filter, gain) -> Tensor:
    """Insert zeros, pad or crop, convolve, drop samples."""
    (up_x, up_y), (down_x, down_y) = up, down
    x0, x1, y0, y1 = padding
    samples, channels, height, width = x.shape
    upsampled = torch.zeros(samples, channels, height * up_y, width * up_x, dtype=torch.float64)
    upsampled[:, :, ::up_y, ::up_x] = x.double()
    upsampled = F.pad(upsampled, [max(p, 0) for p in (x0, x1, y0, y1)])
    upsampled = upsampled[
        :, :, max(-y0, 0) : upsampled.shape[2] - max(-y1, 0), max(-x0, 0) : upsampled.shape[3] - max(-x1, 0)
    ]
    f = torch.ones(1, 1) if f is None else f
    kernel = (f.outer(f) if f.ndim == 1 else f).double() * gain
    if not flip_filter:
        kernel = kernel.flip([0, 1])
    y = F.conv2d(upsampled.flatten(0, 1)[:, None], kernel[None, None]).unflatten(0, (samples, channels))[:, :, 0]
    return y[:, :, ::down_y, ::down_x]


def filtered_lrelu(x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter) -> Tensor:
    x = x.double() + b.double()[None, :, None, None]
    x = upfirdn2d(x, fu, (up, up), (1, 1), padding, flip_filter, up**2)
    x = F.leaky_relu(x, slope) * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return upfirdn2d(x, fd, (1, 1), (down, down), (0, 0, 0, 0), flip_filter, 1)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Return the largest absolute difference, relative to the largest expected value."""
    assert actual.shape == expected.shape
    difference = (actual.double() - expected.double()).abs().max()
    return (difference / expected.double().abs().max().clamp_min(1e-30)).item()
