"""Polyphase FIR filtering: up- and downsampling in one pass that neither inserts zeros nor discards outputs.

Plain torch without autograd of its own; `upfirdn2d` and `filtered_lrelu` build on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AxisResampling:
    """The geometry of upsampling, filtering and downsampling along one axis.

    Output m is sum_j taps[j] * u[m * down + (taps - 1) - j - pad_before], where u is the input with up - 1 zeros after
    each sample, and zero outside.
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
        """Build it for `size` samples, padded at the upsampled rate. Raises ValueError if no output would remain."""
        last_window = size * up + pad_before + pad_after - taps
        if last_window < 0:
            raise ValueError(
                f"Nothing is left of an axis of {size} samples (up {up}, padding {pad_before} and {pad_after}) "
                f"after a filter of {taps} taps; use more padding or a shorter filter."
            )
        return cls(size, last_window // down + 1, taps, up, down, pad_before)

    def adjoint(self) -> AxisResampling:
        """Return the transposed operation, which takes gradients of the output to gradients of the input."""
        return AxisResampling(
            self.size_out, self.size_in, self.taps, self.down, self.up, self.taps - 1 - self.pad_before
        )

    def input_range(self, lo: int, hi: int) -> tuple[int, int, AxisResampling]:
        """Return the inputs [first, last) that the outputs [lo, hi) depend on, and the resampling between these two."""
        start = lo * self.down - self.pad_before
        stop = (hi - 1) * self.down + self.taps - self.pad_before
        first = min(max(0, -(-start // self.up)), self.size_in)
        last = max(first, min(self.size_in, (stop - 1) // self.up + 1))
        part = AxisResampling(last - first, hi - lo, self.taps, self.up, self.down, first * self.up - start)
        return first, last, part


def fir(x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor:
    """Resample x [N,C,H,W] with the filter f (true convolution): [height, width], or [taps] along both axes."""
    if f.ndim == 2:
        return _fir(x, f, y_axis, x_axis)
    if x_axis.down > x_axis.up:  # when downsampling, the horizontal pass first is faster
        x = _fir(x, f[None, :], AxisResampling(x.shape[2], x.shape[2]), x_axis)
        return _fir(x, f[:, None], y_axis, AxisResampling(x.shape[3], x.shape[3]))
    x = _fir(x, f[:, None], y_axis, AxisResampling(x.shape[3], x.shape[3]))
    return _fir(x, f[None, :], AxisResampling(x.shape[2], x.shape[2]), x_axis)


def _fir(x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor:
    top, bottom, y_axis = y_axis.input_range(0, y_axis.size_out)
    left, right, x_axis = x_axis.input_range(0, x_axis.size_out)
    if (bottom - top, right - left) != tuple(x.shape[2:]):
        x = x[:, :, top:bottom, left:right]
    if x.numel() == 0:
        return x.new_zeros([x.shape[0], x.shape[1], y_axis.size_out, x_axis.size_out])
    if f.numel() == 1 and (y_axis.up, x_axis.up) == (1, 1):
        x = _pad_or_crop(x, _end_padding(y_axis), _end_padding(x_axis))[:, :, :: y_axis.down, :: x_axis.down]
        return x * f.reshape(())
    if (y_axis.up, x_axis.up) == (1, 1):
        return _downsample(x, f, y_axis, x_axis)
    if (y_axis.down, x_axis.down) == (1, 1):
        return _upsample(x, f, y_axis, x_axis)
    return _upsample(x, f, _without_down(y_axis), _without_down(x_axis))[:, :, :: y_axis.down, :: x_axis.down]


def _without_down(axis: AxisResampling) -> AxisResampling:
    size_out = (axis.size_out - 1) * axis.down + 1
    return AxisResampling(axis.size_in, size_out, axis.taps, axis.up, 1, axis.pad_before)


def _downsample(x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor:
    weight = f.flip([0, 1]).expand(x.shape[1], 1, *f.shape)
    ends = [_end_padding(axis) for axis in (y_axis, x_axis)]
    # Padding that is equal at both ends is left to the convolution.
    conv_padding = [first if first == last and first > 0 else 0 for first, last in ends]
    x = _pad_or_crop(x, *((first - n, last - n) for n, (first, last) in zip(conv_padding, ends, strict=True)))
    return F.conv2d(x, weight, stride=(y_axis.down, x_axis.down), padding=conv_padding, groups=x.shape[1])


def _end_padding(axis: AxisResampling) -> tuple[int, int]:
    """Return how many zeros to pad at both ends, as far as the outputs depend on them; negative to crop."""
    return axis.pad_before, (axis.size_out - 1) * axis.down + axis.taps - axis.pad_before - axis.size_in


def _upsample(x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor:
    """Upsample by transposed convolution, which computes every output that any input reaches; then pad or crop."""
    weight = f.expand(x.shape[1], 1, *f.shape)
    conv_padding, output_padding, ends = [], [], []
    for axis in (y_axis, x_axis):
        skip = axis.taps - 1 - axis.pad_before
        surplus = (axis.size_in - 1) * axis.up + axis.taps - skip - axis.size_out
        # The convolution's padding crops both ends equally; the rest is padded or cropped afterwards.
        crop = max(0, min(skip, max(surplus, 0) + axis.up - 1))
        conv_padding.append(crop)
        output_padding.append(min(max(crop - surplus, 0), axis.up - 1))
        size = (axis.size_in - 1) * axis.up + axis.taps - 2 * crop + output_padding[-1]
        ends.append((crop - skip, axis.size_out - size - (crop - skip)))
    stride = y_axis.up, x_axis.up
    y = F.conv_transpose2d(x, weight, None, stride, conv_padding, output_padding, groups=x.shape[1])
    return _pad_or_crop(y, ends[0], ends[1])


def _pad_or_crop(x: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """Pad zeros at both ends of the rows and the columns; negative numbers crop, without a copy."""
    for dim, ends in ((2, rows), (3, columns)):
        first, last = max(0, -ends[0]), x.shape[dim] - max(0, -ends[1])
        x = x.narrow(dim, first, last - first)
    pad = [max(0, n) for n in (*columns, *rows)]
    return F.pad(x, pad) if any(pad) else x
