"""StyleGAN3's layer without aliasing: bias, upsample, leaky ReLU, clamp, downsample.

The picture is worked on in blocks, so that the signal at the raised rate is never held as a whole; gradients
compute it again block by block instead of keeping it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .bias_act import bias_act
from .fir import Span, fir
from .upfirdn2d import (
    Padding,
    check_filter,
    check_images,
    filter_size,
    parse_padding,
    parse_scaling,
    prepare,
)

BLOCK_BYTES = 16 << 20


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    gain: float = sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """Downsample(clamp(gain * lrelu(upsample(x + b)))), all at once.

    x [N,C,H,W], b [C]; `fu` and `fd` are [taps] (separable), [height, width] or None; `padding` counts samples
    at the raised rate, as in `upfirdn2d`, zeros coming after the bias. The upsampling keeps the brightness (gain
    up^2); `clamp` limits the raised signal. Returns x's dtype; half precision is computed in float32.
    Karras et al. 2021 (StyleGAN3), Section 3.1 and Appendix D. Raises ValueError for arguments that do not fit.
    """
    check_images(x, "filtered_lrelu")
    check_filter(fu, "filtered_lrelu (fu)")
    check_filter(fd, "filtered_lrelu (fd)")
    if b is not None and b.shape != (x.shape[1],):
        raise ValueError(f"filtered_lrelu needs a bias of {x.shape[1]} values, not {list(b.shape)}.")
    if clamp is not None and clamp < 0:
        raise ValueError(f"clamp must be 0 or more, or None, not {clamp}.")
    (up_x, up_y), (down_x, down_y) = parse_scaling(up, "up"), parse_scaling(down, "down")
    x0, x1, y0, y1 = parse_padding(padding)
    if fu is None and fd is None and (up_x, up_y, down_x, down_y, x0, x1, y0, y1) == (1, 1, 1, 1, 0, 0, 0, 0):
        return bias_act(x, b, act="lrelu", alpha=slope, gain=gain, clamp=clamp)

    up_taps, down_taps = filter_size(fu), filter_size(fd)
    up_y_span = Span.padded(x.shape[2], up_taps[1], up_y, 1, y0, y1)
    up_x_span = Span.padded(x.shape[3], up_taps[0], up_x, 1, x0, x1)
    raise_ = _Leg(prepare(fu, x, up_x * up_y, flip_filter), up_y_span, up_x_span)
    lower = _Leg(
        prepare(fd, x, 1, flip_filter),
        Span.padded(up_y_span.size_out, down_taps[1], 1, down_y, 0, 0),
        Span.padded(up_x_span.size_out, down_taps[0], 1, down_x, 0, 0),
    )
    return _FilteredLrelu.apply(x, b, raise_, lower, _Kink(float(gain), float(slope), clamp))


@dataclass(frozen=True, eq=False)
class _Leg:
    """One resampling: a filter and how both axes go."""

    f: Tensor
    y: Span
    x: Span

    def adjoint(self) -> _Leg:
        return _Leg(self.f.flip(list(range(self.f.ndim))), self.y.adjoint(), self.x.adjoint())

    def rows(self, source: Tensor, lo: int, hi: int) -> Tensor:
        """The output's rows [lo, hi) from the whole input."""
        first, last, y = self.y.window(lo, hi)
        return fir(source[:, :, first:last], self.f, y, self.x)


@dataclass(frozen=True)
class _Kink:
    """The pointwise part: clamp(gain * lrelu(t)) and its derivative."""

    gain: float
    slope: float
    clamp: float | None

    def apply(self, t: Tensor) -> Tensor:
        """In t's own memory."""
        F.leaky_relu_(t, self.slope)
        if self.gain != 1:
            t.mul_(self.gain)
        if self.clamp is not None:
            t.clamp_(-self.clamp, self.clamp)
        return t

    def derivative(self, t: Tensor) -> Tensor:
        """At t, in a new tensor."""
        rate = torch.where(t > 0, self.gain, self.gain * self.slope)
        if self.clamp is not None:
            rate.masked_fill_((t * rate).abs_() > self.clamp, 0)
        return rate


class _FilteredLrelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, b: Tensor | None, raise_: _Leg, lower: _Leg, kink: _Kink) -> Tensor:
        ctx.save_for_backward(x, b)
        ctx.plan = raise_, lower, kink
        return _in_blocks(x, b, None, raise_, None, lower, kink)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, b = ctx.saved_tensors
        raise_, lower, kink = ctx.plan
        grad = _Masked.apply(grads[0], x, b, raise_, lower.adjoint(), raise_.adjoint(), kink)
        grad_b = grad.sum([0, 2, 3]).to(b.dtype) if b is not None and ctx.needs_input_grad[1] else None
        return grad, grad_b, None, None, None


class _Masked(torch.autograd.Function):
    """v resampled, times the derivative at raise_(x + b), resampled again: linear in v, flat in x."""

    @staticmethod
    def forward(
        ctx: Any,
        v: Tensor,
        x: Tensor,
        b: Tensor | None,
        raise_: _Leg,
        before: _Leg,
        after: _Leg,
        kink: _Kink,
    ) -> Tensor:
        ctx.save_for_backward(x, b)
        ctx.plan = raise_, before, after, kink
        return _in_blocks(x, b, v, raise_, before, after, kink)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, b = ctx.saved_tensors
        raise_, before, after, kink = ctx.plan
        grad = _Masked.apply(grads[0], x, b, raise_, after.adjoint(), before.adjoint(), kink)
        return grad, None, None, None, None, None, None


def _in_blocks(
    x: Tensor,
    b: Tensor | None,
    v: Tensor | None,
    raise_: _Leg,
    before: _Leg | None,
    after: _Leg,
    kink: _Kink,
) -> Tensor:
    """after(kink(raise_(x + b))), or after(kink'(raise_(x + b)) * before(v)), a block of rows at a time."""
    samples, channels = x.shape[:2]
    height, width = after.y.size_out, after.x.size_out
    out = torch.empty(
        [samples, channels, height, width],
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last if x.device.type == "cpu" else torch.contiguous_format,
    )
    wide = raise_.f.dtype
    rows = height
    for n in range(samples):
        source = x[n : n + 1].to(wide)
        if b is not None:
            source = source + b.to(wide).reshape(1, -1, 1, 1)
        if x.device.type == "cpu":
            source = source.contiguous(memory_format=torch.channels_last)
        for lo in range(0, height, rows):
            hi = min(height, lo + rows)
            first, last, after_y = after.y.window(lo, hi)
            t = raise_.rows(source, first, last)
            if v is None or before is None:
                t = kink.apply(t)
            else:
                t = kink.derivative(t).mul_(before.rows(v[n : n + 1].to(wide), first, last))
            out[n : n + 1, :, lo:hi] = fir(t, after.f, after_y, after.x)
    return out
