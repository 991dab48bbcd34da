"""Upsample, filter and downsample images in one pass (upfirdn), differentiable any number of times."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ops import backends
from ops.filter_cache import cached_filter, flipped_filter
from ops.polyphase import AxisResampling, fir

Scaling = int | Sequence[int]
Padding = int | Sequence[int]


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Scaling = 1,
    down: Scaling = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Insert up - 1 zeros after each sample, pad or crop, filter, keep every down-th sample, scale by gain.

    x [N,C,H,W] -> [N,C,H',W'] in x's dtype; half precision is computed in float32. f is [taps] (separable),
    [height, width] or None; `up` and `down` are one number or [x, y]; `padding` counts samples at the upsampled rate:
    one number, [x, y] or [x_before, x_after, y_before, y_after], negative to crop. `flip_filter` False is true
    convolution, True correlation. Karras et al. 2020 (StyleGAN2), Appendix B.
    Raises ValueError for arguments of another form, or if no output would remain.
    """
    check_images(x, "upfirdn2d")
    check_filter(f, "upfirdn2d")
    up_x, up_y = parse_scaling(up, "up")
    down_x, down_y = parse_scaling(down, "down")
    x0, x1, y0, y1 = parse_padding(padding)
    taps_x, taps_y = filter_size(f)
    y_axis = AxisResampling.from_padding(x.shape[2], taps_y, up_y, down_y, y0, y1)
    x_axis = AxisResampling.from_padding(x.shape[3], taps_x, up_x, down_x, x0, x1)
    return _Upfirdn2d.apply(x, cached_filter(f, x, gain, flip_filter), y_axis, x_axis)


def filter2d(x: Tensor, f: Tensor | None, padding: Padding = 0, flip_filter: bool = False, gain: float = 1) -> Tensor:
    """Filter at the same rate and size; `padding` enlarges (or crops) the aligned result. See `upfirdn2d`."""
    return upfirdn2d(x, f, 1, 1, aligned_padding(f, padding), flip_filter, gain)


def upsample2d(
    x: Tensor,
    f: Tensor | None,
    up: Scaling = 2,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Upsample by `up`, preserving the mean; `padding` is relative to the aligned result. See `upfirdn2d`."""
    up_x, up_y = parse_scaling(up, "up")
    return upfirdn2d(x, f, up, 1, aligned_padding(f, padding, up=up), flip_filter, gain * up_x * up_y)


def downsample2d(
    x: Tensor,
    f: Tensor | None,
    down: Scaling = 2,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Downsample by `down`; `padding` is in input samples around the aligned image. See `upfirdn2d`."""
    return upfirdn2d(x, f, 1, down, aligned_padding(f, padding, down=down), flip_filter, gain)


class _Upfirdn2d(torch.autograd.Function):
    """Linear in x: the backward pass is the adjoint resampling and saves no tensor but the filter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor:
        ctx.f, ctx.axes = f, (y_axis, x_axis)
        return backends.select("upfirdn2d", x)(x, f, y_axis, x_axis)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        y_axis, x_axis = ctx.axes
        return _Upfirdn2d.apply(grads[0], flipped_filter(ctx.f), y_axis.adjoint(), x_axis.adjoint()), None, None, None


def upfirdn2d_torch(x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor:
    """Compute `upfirdn2d` in plain torch: x [N,C,H,W], f from `cached_filter` -> [N,C,H',W'] in x's dtype."""
    y = x.to(f.dtype)
    if y.device.type == "cpu":
        y = y.contiguous(memory_format=torch.channels_last)
    return fir(y, f, y_axis, x_axis).to(x.dtype)


backends.register("upfirdn2d", backends.Implementation("plain torch", upfirdn2d_torch))


def filter_size(f: Tensor | None) -> tuple[int, int]:
    """Return the number of taps along x and along y."""
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


def aligned_padding(
    f: Tensor | None, padding: Padding = 0, up: Scaling = 1, down: Scaling = 1
) -> tuple[int, int, int, int]:
    """Add to `padding` what keeps the result aligned with the input, for upsampling and then downsampling."""
    check_filter(f, "the filter")
    result = list(parse_padding(padding))
    ups, downs = parse_scaling(up, "up"), parse_scaling(down, "down")
    for axis, taps in enumerate(filter_size(f)):
        u, d = ups[axis], downs[axis]
        if u > 1 or d == 1:
            result[2 * axis] += (taps + u - 1) // 2
            result[2 * axis + 1] += (taps - u) // 2
        if d > 1:
            result[2 * axis] += (taps - d + 1) // 2
            result[2 * axis + 1] += (taps - d) // 2
    return result[0], result[1], result[2], result[3]


def parse_scaling(value: Scaling, name: str) -> tuple[int, int]:
    """One number or [x, y] -> (x, y). Raises ValueError unless both are integers of at least 1."""
    if type(value) is int and value >= 1:  # fast path for the usual case
        return value, value
    pair = _to_integers(value)
    if len(pair) == 1:
        pair = pair * 2
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name} must be a whole number from 1, or two of them (x, y), not {value!r}.")
    return pair[0], pair[1]


def parse_padding(value: Padding) -> tuple[int, int, int, int]:
    """One number, [x, y] or [x0, x1, y0, y1] -> (x0, x1, y0, y1). Raises ValueError for anything else."""
    sides = _to_integers(value)
    if len(sides) == 1:
        sides = sides * 4
    if len(sides) == 2:
        sides = [sides[0], sides[0], sides[1], sides[1]]
    if len(sides) != 4:
        raise ValueError(f"padding must be 1, 2 (x, y) or 4 (x0, x1, y0, y1) whole numbers, not {value!r}.")
    return sides[0], sides[1], sides[2], sides[3]


def _to_integers(value: Scaling | Padding) -> list[int]:
    """Return the integers (also NumPy's) as a list, or an empty list if one is not an integer."""
    try:
        return [operator.index(n) for n in (value if isinstance(value, Iterable) else [value])]
    except TypeError:
        return []


def check_images(x: Tensor, name: str) -> None:
    """Raise ValueError unless x is a floating-point batch of images [N,C,H,W]."""
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(f"{name} needs images [N,C,H,W] of floats, not {list(x.shape)} of {x.dtype}.")


def check_filter(f: Tensor | None, name: str) -> None:
    """Raise ValueError unless f is None, [taps] or [height, width]."""
    if f is not None and (f.ndim not in (1, 2) or f.numel() == 0):
        raise ValueError(f"{name} needs a filter [taps] or [height, width], not of shape {list(f.shape)}.")
