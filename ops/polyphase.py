"""One filter pass over an image: raise the sampling rate, filter, lower it, without ever inserting zeros.

Everything here is plain arithmetic without gradients of its own; `upfirdn2d` and `filtered_lrelu` build on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AxisResampling:
    """How one axis is resampled: output m is sum_j taps[j] * u[m * down + (taps - 1) - j - before],

    where u is the input with up - 1 zeros after each sample, and zeros outside.
    """

    size_in: int
    size_out: int
    taps: int = 1
    up: int = 1
    down: int = 1
    pad_before: int = 0

    @classmethod
    @lru_cache(maxsize=1024)
    def from_padding(cls, size: int, taps: int, up: int, down: int, pad_before: int, pad_after: int) -> AxisResampling:
        """The span of `size` samples, padded (at the raised rate) by `before` and `after`."""
        room = size * up + pad_before + pad_after - taps
        if room < 0:
            raise ValueError(
                f"Nothing is left of an axis of {size} samples (up {up}, padding {pad_before} and {pad_after}) "
                f"after a filter of {taps} taps; use more padding or a shorter filter."
            )
        return cls(size, room // down + 1, taps, up, down, pad_before)

    def adjoint(self) -> AxisResampling:
        """The transposed operation: what takes gradients of the output to gradients of the input."""
        return AxisResampling(
            self.size_out, self.size_in, self.taps, self.down, self.up, self.taps - 1 - self.pad_before
        )

    def input_range(self, lo: int, hi: int) -> tuple[int, int, AxisResampling]:
        """Which inputs [first, last) the outputs [lo, hi) need, and the span that makes just these."""
        start = lo * self.down - self.pad_before
        stop = (hi - 1) * self.down + self.taps - self.pad_before
        first = min(max(0, -(-start // self.up)), self.size_in)
        last = max(first, min(self.size_in, (stop - 1) // self.up + 1))
        return (
            first,
            last,
            AxisResampling(last - first, hi - lo, self.taps, self.up, self.down, first * self.up - start),
        )


def fir(x: Tensor, f: Tensor, y_span: AxisResampling, x_span: AxisResampling) -> Tensor:
    """Filter x [N,C,H,W] with f, true convolution: [height, width], or [taps] along both axes."""
    if f.ndim == 2:
        return _fir(x, f, y_span, x_span)
    if x_span.down > x_span.up:  # where the picture shrinks, rows first are quicker
        x = _fir(x, f[None, :], AxisResampling(x.shape[2], x.shape[2]), x_span)
        return _fir(x, f[:, None], y_span, AxisResampling(x.shape[3], x.shape[3]))
    x = _fir(x, f[:, None], y_span, AxisResampling(x.shape[3], x.shape[3]))
    return _fir(x, f[None, :], AxisResampling(x.shape[2], x.shape[2]), x_span)


def _fir(x: Tensor, f: Tensor, ys: AxisResampling, xs: AxisResampling) -> Tensor:
    top, bottom, ys = ys.input_range(0, ys.size_out)
    left, right, xs = xs.input_range(0, xs.size_out)
    if (bottom - top, right - left) != tuple(x.shape[2:]):
        x = x[:, :, top:bottom, left:right]
    if x.numel() == 0:
        return x.new_zeros([x.shape[0], x.shape[1], ys.size_out, xs.size_out])
    if f.numel() == 1 and (ys.up, xs.up) == (1, 1):
        x = _pad_or_crop(x, _end_padding(ys), _end_padding(xs))[:, :, :: ys.down, :: xs.down]
        return x * f.reshape(())
    if (ys.up, xs.up) == (1, 1):
        return _downsample(x, f, ys, xs)
    if (ys.down, xs.down) == (1, 1):
        return _upsample(x, f, ys, xs)
    fine_y = AxisResampling(ys.size_in, (ys.size_out - 1) * ys.down + 1, ys.taps, ys.up, 1, ys.pad_before)
    fine_x = AxisResampling(xs.size_in, (xs.size_out - 1) * xs.down + 1, xs.taps, xs.up, 1, xs.pad_before)
    return _upsample(x, f, fine_y, fine_x)[:, :, :: ys.down, :: xs.down]


def _downsample(x: Tensor, f: Tensor, ys: AxisResampling, xs: AxisResampling) -> Tensor:
    weight = f.flip([0, 1]).expand(x.shape[1], 1, *f.shape)
    ends = [_end_padding(s) for s in (ys, xs)]
    inside = [first if first == last and first > 0 else 0 for first, last in ends]  # the convolution's own padding
    x = _pad_or_crop(x, *((first - n, last - n) for n, (first, last) in zip(inside, ends, strict=True)))
    return F.conv2d(x, weight, stride=(ys.down, xs.down), padding=inside, groups=x.shape[1])


def _end_padding(s: AxisResampling) -> tuple[int, int]:
    """How many zeros an axis needs before and after it, as far as its outputs see; negative to crop."""
    return s.pad_before, (s.size_out - 1) * s.down + s.taps - s.pad_before - s.size_in


def _upsample(x: Tensor, f: Tensor, ys: AxisResampling, xs: AxisResampling) -> Tensor:
    """A transposed convolution makes every output that any input touches; crop to the wanted ones."""
    weight = f.expand(x.shape[1], 1, *f.shape)
    crop, extra, pad = [], [], []
    for s in (ys, xs):
        skip = s.taps - 1 - s.pad_before
        surplus = (s.size_in - 1) * s.up + s.taps - skip - s.size_out
        # The crop takes as much from both ends; what only one end wants is padded, or cut off, afterwards.
        inside = max(0, min(skip, max(surplus, 0) + s.up - 1))
        crop.append(inside)
        extra.append(min(max(inside - surplus, 0), s.up - 1))
        made = (s.size_in - 1) * s.up + s.taps - 2 * inside + extra[-1]
        pad.append((inside - skip, s.size_out - made - (inside - skip)))
    y = F.conv_transpose2d(x, weight, stride=(ys.up, xs.up), padding=crop, output_padding=extra, groups=x.shape[1])
    return _pad_or_crop(y, pad[0], pad[1])


def _pad_or_crop(y: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """So many zeros more at both ends of the rows and of the columns; negative numbers cut off, without a copy."""
    for axis, ends in ((2, rows), (3, columns)):
        first, last = max(0, -ends[0]), y.shape[axis] - max(0, -ends[1])
        y = y.narrow(axis, first, last - first)
    pad = [max(0, n) for n in (*columns, *rows)]
    return F.pad(y, pad) if any(pad) else y
