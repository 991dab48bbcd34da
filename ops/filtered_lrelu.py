"""StyleGAN3's layer without aliasing: bias, upsample, leaky ReLU, clamp, downsample.

The picture is worked on in blocks, so that the signal at the raised rate is never held as a whole; gradients
compute it again block by block instead of keeping it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from math import ceil, sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ops import backends
from ops.bias_act import bias_act
from ops.filter_cache import cached_filter, flipped_filter
from ops.polyphase import AxisResampling, fir
from ops.upfirdn2d import Padding, Scaling, check_filter, check_images, filter_size, parse_padding, parse_scaling

# What a block's raised signal may take, and the rows of it that one row of results is made of. The channels are so many
# that these rows stay in a core's own cache, in vectors of AVX-512; measured with 2 threads on x86.
BLOCK_BYTES = 16 << 20
CACHE_BYTES = 600 << 10
MIN_ROWS = 8


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
    if gain <= 0:
        raise ValueError(f"filtered_lrelu needs a positive gain, not {gain}.")
    if fu is None and fd is None and _is_pointwise(up, down, padding):
        return bias_act(x, b, act="lrelu", alpha=slope, gain=gain, clamp=clamp)
    raise_, lower = resamplers(x, fu, fd, up, down, padding, gain, flip_filter)
    kink = LeakyReluClamp(float(slope), clamp)
    if not torch.is_grad_enabled():
        return backends.select("filtered_lrelu", x)(x, b, None, raise_, None, lower, kink)
    return _FilteredLrelu.apply(x, b, raise_, lower, kink)


def _is_pointwise(up: Scaling, down: Scaling, padding: Padding) -> bool:
    return parse_scaling(up, "up") == parse_scaling(down, "down") == (1, 1) and not any(parse_padding(padding))


def resamplers(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    up: Scaling,
    down: Scaling,
    padding: Padding,
    gain: float,
    flip_filter: bool = False,
) -> tuple[Resampler, Resampler]:
    """The way up and the way down for pictures like x (its size, device and dtype), with the gain in the first."""
    ups, downs = parse_scaling(up, "up"), parse_scaling(down, "down")
    # A positive gain commutes with the leaky ReLU, and costs nothing in the filter.
    f_up, f_down = cached_filter(fu, x, ups[0] * ups[1] * gain, flip_filter), cached_filter(fd, x, 1, flip_filter)
    return _resamplers(x.shape[2], x.shape[3], f_up, f_down, ups, downs, parse_padding(padding))


@lru_cache(maxsize=1024)
def _resamplers(
    height: int,
    width: int,
    f_up: Tensor,
    f_down: Tensor,
    ups: tuple[int, int],
    downs: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> tuple[Resampler, Resampler]:
    """`legs` of filters that are prepared: the same objects for the same layer."""
    (up_x, up_y), (down_x, down_y), (x0, x1, y0, y1) = ups, downs, padding
    up_taps, down_taps = filter_size(f_up), filter_size(f_down)
    up_y_span = AxisResampling.from_padding(height, up_taps[1], up_y, 1, y0, y1)
    up_x_span = AxisResampling.from_padding(width, up_taps[0], up_x, 1, x0, x1)
    lower = Resampler(
        f_down,
        AxisResampling.from_padding(up_y_span.size_out, down_taps[1], 1, down_y, 0, 0),
        AxisResampling.from_padding(up_x_span.size_out, down_taps[0], 1, down_x, 0, 0),
    )
    return Resampler(f_up, up_y_span, up_x_span), lower


@dataclass(frozen=True, eq=False)
class Resampler:
    """One resampling: a filter and how both axes go."""

    f: Tensor
    y: AxisResampling
    x: AxisResampling

    def adjoint(self) -> Resampler:
        """The transposed operation, made once."""
        return self._adjoint

    @cached_property
    def _adjoint(self) -> Resampler:
        return Resampler(flipped_filter(self.f), self.y.adjoint(), self.x.adjoint())

    def l1_gain(self) -> float:
        """No output is larger than this times the largest input."""
        taps = self.f.abs()
        if taps.ndim == 2:
            return float(taps.sum())
        return _max_phase_l1(taps, self.y.up) * _max_phase_l1(taps, self.x.up)


def _max_phase_l1(taps: Tensor, up: int) -> float:
    return max(float(taps[phase::up].sum()) for phase in range(up))


@dataclass(frozen=True)
class LeakyReluClamp:
    """The pointwise part, clamp(lrelu(t)), and its derivative."""

    slope: float
    clamp: float | None

    def without_unreachable_clamp(self, reach: float) -> LeakyReluClamp:
        """Without the clamp, if signals up to `reach` in size cannot touch it."""
        return replace(self, clamp=None) if self.clamp is not None and reach < self.clamp else self

    def apply_(self, t: Tensor) -> Tensor:
        """In t's own memory."""
        F.leaky_relu_(t, self.slope)
        return t if self.clamp is None else t.clamp_(-self.clamp, self.clamp)

    def derivative(self, t: Tensor) -> Tensor:
        """At t, in a new tensor."""
        rate = torch.where(t > 0, 1.0, self.slope).to(t.dtype)
        return rate if self.clamp is None else rate.masked_fill_((t * rate).abs_() > self.clamp, 0)


class _FilteredLrelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, b: Tensor | None, raise_: Resampler, lower: Resampler, kink: LeakyReluClamp
    ) -> Tensor:
        ctx.save_for_backward(x, b)
        ctx.plan = raise_, lower, kink
        return backends.select("filtered_lrelu", x)(x, b, None, raise_, None, lower, kink)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, b = ctx.saved_tensors
        raise_, lower, kink = ctx.plan
        grad = _FilteredLreluGrad.apply(grads[0], x, b, raise_, lower.adjoint(), raise_.adjoint(), kink)
        grad_b = grad.sum([0, 2, 3]).to(b.dtype) if b is not None and ctx.needs_input_grad[1] else None
        return grad, grad_b, None, None, None


class _FilteredLreluGrad(torch.autograd.Function):
    """v resampled, times the derivative at raise_(x + b), resampled again: linear in v, flat in x."""

    @staticmethod
    def forward(
        ctx: Any,
        v: Tensor,
        x: Tensor,
        b: Tensor | None,
        raise_: Resampler,
        before: Resampler,
        after: Resampler,
        kink: LeakyReluClamp,
    ) -> Tensor:
        ctx.save_for_backward(x, b)
        ctx.plan = raise_, before, after, kink
        return backends.select("filtered_lrelu", x)(x, b, v, raise_, before, after, kink)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, b = ctx.saved_tensors
        raise_, before, after, kink = ctx.plan
        grad = _FilteredLreluGrad.apply(grads[0], x, b, raise_, after.adjoint(), before.adjoint(), kink)
        return grad, None, None, None, None, None, None


def filtered_lrelu_torch(
    x: Tensor,
    b: Tensor | None,
    v: Tensor | None,
    raise_: Resampler,
    before: Resampler | None,
    after: Resampler,
    limits: LeakyReluClamp,
    out: Tensor | None = None,
) -> Tensor:
    """after(kink(raise_(x + b))), or after(kink'(raise_(x + b)) * before(v)), block by block, into `out` if given."""
    wide = raise_.f.dtype
    layout = torch.channels_last if x.device.type == "cpu" else torch.contiguous_format
    size = [*x.shape[:2], after.y.size_out, after.x.size_out]
    bias = None if b is None else b.to(wide).reshape(1, -1, 1, 1)
    kink = limits
    if limits.clamp is not None and x.device.type == "cpu" and x.numel():  # a GPU would have to wait
        reach = raise_.l1_gain() * max(1.0, abs(limits.slope)) * 1.001
        kink = limits.without_unreachable_clamp((_max_abs(x) + (0.0 if b is None else _max_abs(b))) * reach)
    chunk, rows = _block_size(x.shape[1], after)
    whole = out is None and len(x) == 1 and (chunk, rows) == (size[1], size[2])
    if out is None and not whole:
        out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=layout)

    def needed(
        leg: Resampler, planes: Tensor, lo: int, hi: int, bias: Tensor | None = None
    ) -> tuple[Tensor, AxisResampling, AxisResampling]:
        """What the leg's output rows [lo, hi) see, in the arithmetic's dtype and layout, and how it is resampled."""
        top, bottom, y = leg.y.input_range(lo, hi)
        left, right, x = leg.x.input_range(0, leg.x.size_out)
        planes = planes[:, :, top:bottom, left:right]
        if bias is None:
            return planes.to(dtype=wide, memory_format=layout), y, x
        source = torch.empty_like(planes, dtype=wide, memory_format=layout)
        return torch.add(planes, bias, out=source), y, x

    for n, c in product(range(x.shape[0]), range(0, x.shape[1], max(chunk, 1))):
        here = slice(n, n + 1), slice(c, c + chunk)
        for lo in range(0, size[2], rows):
            hi = min(size[2], lo + rows)
            first, last, after_y = after.y.input_range(lo, hi)
            source, *spans = needed(raise_, x[here], first, last, None if bias is None else bias[:, here[1]])
            t = fir(source, raise_.f, *spans)
            if v is None or before is None:
                t = kink.apply_(t)
            else:
                t = kink.derivative(t)
                source, *spans = needed(before, v[here], first, last)
                t = t.mul_(fir(source, before.f, *spans))
            t = fir(t, after.f, after_y, after.x)
            if out is None:
                return t.to(x.dtype)
            out[*here, lo:hi] = t
    return x.new_empty(size) if out is None else out


def _max_abs(x: Tensor) -> float:
    """The largest absolute value, read once in the order of memory."""
    stored = x.permute(0, 2, 3, 1) if x.is_contiguous(memory_format=torch.channels_last) else x
    low, high = stored.reshape(-1).aminmax()
    return max(-float(low), float(high))


def _block_size(channels: int, after: Resampler) -> tuple[int, int]:
    """Channels and output rows of a block whose signal at the raised rate fits BLOCK_BYTES.

    This looks at sizes alone, so that the same input always gives the same bits.
    """
    row = after.x.size_in * after.f.element_size()
    plane = row * after.y.size_in
    if channels * plane <= BLOCK_BYTES // 2:
        return channels, after.y.size_out
    chunk = min(channels, max(16, CACHE_BYTES // (after.y.taps * row) // 16 * 16))
    raised_rows = BLOCK_BYTES // (chunk * row)
    if raised_rows >= after.y.size_in:
        return chunk, after.y.size_out
    rows = max(MIN_ROWS, (raised_rows - after.y.taps) * after.y.up // after.y.down)
    return chunk, ceil(after.y.size_out / ceil(after.y.size_out / rows))  # blocks as large as each other


backends.register("filtered_lrelu", backends.Implementation("plain torch", filtered_lrelu_torch))
