"""StyleGAN3's alias-free activation: bias, upsample, leaky ReLU, clamp, downsample.

`filtered_lrelu_torch` is all of it in plain torch. It works in blocks, so that the upsampled signal never exists as a
whole; the backward pass recomputes that signal block by block instead of storing it.
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

# Limits for the upsampled signal of one block, and for the rows of it that one output row needs. The second keeps these
# rows in a core's own cache, 16 channels (one AVX-512 vector) at a time; measured with 2 threads on x86.
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
    """Compute downsample(clamp(gain * lrelu(upsample(x + b)))) in one pass.

    x [N,C,H,W], b [C] -> [N,C,H',W'] in x's dtype; half precision is computed in float32. The filters `fu` and `fd` are
    [taps] (separable), [height, width] or None; `up`, `down`, `padding` and `flip_filter` are as in `upfirdn2d`:
    `padding` counts samples at the upsampled rate, and padded zeros do not get the bias. Upsampling has a gain of its
    own, up^2, which preserves the mean; `clamp` limits the absolute value after the leaky ReLU.
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
    upsampler, downsampler = resamplers(x, fu, fd, up, down, padding, gain, flip_filter)
    args = FilteredLreluArgs(upsampler, downsampler, LeakyReluClamp(float(slope), clamp))
    if not torch.is_grad_enabled():
        return backends.select("filtered_lrelu", x)(x, b, None, args)
    return _FilteredLrelu.apply(x, b, args)


def _is_pointwise(up: Scaling, down: Scaling, padding: Padding) -> bool:
    return parse_scaling(up, "up") == parse_scaling(down, "down") == (1, 1) and not any(parse_padding(padding))


@dataclass(frozen=True, eq=False)
class Resampler:
    """One up- or downsampling stage: a filter ([taps] or [height, width]) and the geometry of both axes."""

    f: Tensor
    y: AxisResampling
    x: AxisResampling

    def adjoint(self) -> Resampler:
        """Return the transposed operation, which takes gradients of the output to gradients of the input."""
        return self._adjoint

    @cached_property
    def _adjoint(self) -> Resampler:
        return Resampler(flipped_filter(self.f), self.y.adjoint(), self.x.adjoint())

    def double(self) -> Resampler:
        """Return the same with a float64 filter."""
        return replace(self, f=self.f.double())

    def l1_gain(self) -> float:
        """Return the largest L1 norm of a polyphase component: |output| <= l1_gain * max |input|."""
        taps = self.f.abs()
        if taps.ndim == 2:
            return float(taps.sum())
        return _max_phase_l1(taps, self.y.up) * _max_phase_l1(taps, self.x.up)


def _max_phase_l1(taps: Tensor, up: int) -> float:
    return max(float(taps[phase::up].sum()) for phase in range(up))


@dataclass(frozen=True)
class LeakyReluClamp:
    """The pointwise activation clamp(lrelu(t), -clamp, clamp)."""

    slope: float
    clamp: float | None

    def without_unreachable_clamp(self, bound: float) -> LeakyReluClamp:
        """Drop the clamp if signals of absolute value `bound` or less cannot reach it."""
        return replace(self, clamp=None) if self.clamp is not None and bound < self.clamp else self

    def apply_(self, t: Tensor) -> Tensor:
        """Activate t in place."""
        F.leaky_relu_(t, self.slope)
        return t if self.clamp is None else t.clamp_(-self.clamp, self.clamp)

    def derivative(self, t: Tensor) -> Tensor:
        """Return the derivative at t as a new tensor."""
        rate = torch.where(t > 0, 1.0, self.slope).to(t.dtype)
        return rate if self.clamp is None else rate.masked_fill_((t * rate).abs_() > self.clamp, 0)


@dataclass(frozen=True)
class FilteredLreluArgs:
    """Everything a filtered leaky ReLU is called with besides its tensors x, b and grad.

    Forward, without `grad_upsampler`: downsampler(activation(upsampler(x + b))).
    Backward: downsampler(activation'(upsampler(x + b)) * grad_upsampler(grad)).
    """

    upsampler: Resampler
    downsampler: Resampler
    activation: LeakyReluClamp
    grad_upsampler: Resampler | None = None

    def adjoint(self) -> FilteredLreluArgs:
        """Return the backward pass: linear in grad, so its own adjoint is again a backward pass."""
        grad_downsampler = (self.grad_upsampler or self.upsampler).adjoint()
        return FilteredLreluArgs(self.upsampler, grad_downsampler, self.activation, self.downsampler.adjoint())

    def double(self) -> FilteredLreluArgs:
        """Return the same with float64 filters, so that `filtered_lrelu_torch` computes in float64."""
        grad_upsampler = None if self.grad_upsampler is None else self.grad_upsampler.double()
        return FilteredLreluArgs(self.upsampler.double(), self.downsampler.double(), self.activation, grad_upsampler)


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
    """Build the upsampler and the downsampler for inputs of x's size, device and dtype.

    The arguments are those of `filtered_lrelu`; the upsampler's filter contains the gain. Raises ValueError if no
    output would remain.
    """
    ups, downs = parse_scaling(up, "up"), parse_scaling(down, "down")
    # A positive gain commutes with the leaky ReLU, and costs nothing in the filter.
    f_up = cached_filter(fu, x, ups[0] * ups[1] * gain, flip_filter)
    f_down = cached_filter(fd, x, 1, flip_filter)
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
    """Build the resamplers from cached filters; cached, so that a layer always gets the same objects."""
    (up_x, up_y), (down_x, down_y), (x0, x1, y0, y1) = ups, downs, padding
    up_taps, down_taps = filter_size(f_up), filter_size(f_down)
    up_y_axis = AxisResampling.from_padding(height, up_taps[1], up_y, 1, y0, y1)
    up_x_axis = AxisResampling.from_padding(width, up_taps[0], up_x, 1, x0, x1)
    downsampler = Resampler(
        f_down,
        AxisResampling.from_padding(up_y_axis.size_out, down_taps[1], 1, down_y, 0, 0),
        AxisResampling.from_padding(up_x_axis.size_out, down_taps[0], 1, down_x, 0, 0),
    )
    return Resampler(f_up, up_y_axis, up_x_axis), downsampler


class _FilteredLrelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, b: Tensor | None, args: FilteredLreluArgs) -> Tensor:
        ctx.save_for_backward(x, b)
        ctx.args = args
        return backends.select("filtered_lrelu", x)(x, b, None, args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, b = ctx.saved_tensors
        grad = _FilteredLreluGrad.apply(grads[0], x, b, ctx.args.adjoint())
        grad_b = grad.sum([0, 2, 3]).to(b.dtype) if b is not None and ctx.needs_input_grad[1] else None
        return grad, grad_b, None


class _FilteredLreluGrad(torch.autograd.Function):
    """The backward pass, differentiable in grad; its derivative in x and b is zero almost everywhere."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, b: Tensor | None, args: FilteredLreluArgs) -> Tensor:
        ctx.save_for_backward(x, b)
        ctx.args = args
        return backends.select("filtered_lrelu", x)(x, b, grad, args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, b = ctx.saved_tensors
        return _FilteredLreluGrad.apply(grads[0], x, b, ctx.args.adjoint()), None, None, None


def filtered_lrelu_torch(
    x: Tensor, b: Tensor | None, grad: Tensor | None, args: FilteredLreluArgs, out: Tensor | None = None
) -> Tensor:
    """Compute a filtered leaky ReLU in plain torch, block by block; `args` says which pass.

    x [N,C,H,W], b [C] or None, grad [N,C,H'',W''] for the backward pass, else None -> [N,C,H',W'] in x's dtype, or in
    `out` if given. Not differentiable by itself.
    """
    upsampler, downsampler, grad_upsampler = args.upsampler, args.downsampler, args.grad_upsampler
    dtype = upsampler.f.dtype
    layout = torch.channels_last if x.device.type == "cpu" else torch.contiguous_format
    size = [*x.shape[:2], downsampler.y.size_out, downsampler.x.size_out]
    bias = None if b is None else b.to(dtype).reshape(1, -1, 1, 1)
    activation = args.activation
    if activation.clamp is not None and x.device.type == "cpu" and x.numel():  # a GPU would have to synchronize
        gain = upsampler.l1_gain() * max(1.0, abs(activation.slope)) * 1.001
        activation = activation.without_unreachable_clamp((_max_abs(x) + (0.0 if b is None else _max_abs(b))) * gain)
    channels_per_block, rows_per_block = _block_size(x.shape[1], downsampler)
    is_one_block = out is None and len(x) == 1 and (channels_per_block, rows_per_block) == (size[1], size[2])
    if out is None and not is_one_block:
        out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=layout)

    def upsample(resampler: Resampler, source: Tensor, start: int, stop: int, bias: Tensor | None = None) -> Tensor:
        """Compute output rows [start, stop) of a resampler, in the compute dtype."""
        top, bottom, y = resampler.y.input_range(start, stop)
        left, right, x = resampler.x.input_range(0, resampler.x.size_out)
        source = source[:, :, top:bottom, left:right]
        if bias is None:
            source = source.to(dtype=dtype, memory_format=layout)
        else:
            biased = torch.empty_like(source, dtype=dtype, memory_format=layout)
            source = torch.add(source, bias, out=biased)
        return fir(source, resampler.f, y, x)

    for n, c in product(range(x.shape[0]), range(0, x.shape[1], max(channels_per_block, 1))):
        block = slice(n, n + 1), slice(c, c + channels_per_block)
        block_bias = None if bias is None else bias[:, block[1]]
        for start in range(0, size[2], rows_per_block):
            stop = min(size[2], start + rows_per_block)
            first, last, y_axis = downsampler.y.input_range(start, stop)
            t = upsample(upsampler, x[block], first, last, block_bias)
            if grad is None or grad_upsampler is None:
                t = activation.apply_(t)
            else:
                t = activation.derivative(t)
                t = t.mul_(upsample(grad_upsampler, grad[block], first, last))
            t = fir(t, downsampler.f, y_axis, downsampler.x)
            if out is None:
                return t.to(x.dtype)
            out[*block, start:stop] = t
    return x.new_empty(size) if out is None else out


def _max_abs(x: Tensor) -> float:
    """Return the largest absolute value, in one pass over the memory."""
    in_memory_order = x.permute(0, 2, 3, 1) if x.is_contiguous(memory_format=torch.channels_last) else x
    low, high = in_memory_order.reshape(-1).aminmax()
    return max(-float(low), float(high))


def _block_size(channels: int, downsampler: Resampler) -> tuple[int, int]:
    """Return the channels and the output rows of a block whose upsampled signal fits BLOCK_BYTES.

    Depends on sizes alone, so that the same input always gives the same bits.
    """
    row = downsampler.x.size_in * downsampler.f.element_size()
    plane = row * downsampler.y.size_in
    if channels * plane <= BLOCK_BYTES // 2:
        return channels, downsampler.y.size_out
    block_channels = min(channels, max(16, CACHE_BYTES // (downsampler.y.taps * row) // 16 * 16))
    upsampled_rows = BLOCK_BYTES // (block_channels * row)
    if upsampled_rows >= downsampler.y.size_in:
        return block_channels, downsampler.y.size_out
    rows = max(MIN_ROWS, (upsampled_rows - downsampler.y.taps) * downsampler.y.up // downsampler.y.down)
    return block_channels, ceil(downsampler.y.size_out / ceil(downsampler.y.size_out / rows))  # blocks of equal size


backends.register("filtered_lrelu", backends.Implementation("plain torch", filtered_lrelu_torch))
