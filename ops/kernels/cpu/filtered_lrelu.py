"""The C++ form of filtered leaky ReLU, of resampling and of scaling channels, for float32 and bfloat16 on the CPU.

The inference plan uses this directly:

    layer = Fused(raise_, lower, kink)                 once per layer; the legs are those of `filtered_lrelu.legs`
    y = layer(x, bias, pre, post, out)                 lower(kink(raise_(x * pre + bias))) * post

x is [N,C,H,W] in channels_last memory (NHWC), of the size the legs were made for. All else is optional: bias [C]
float32; pre and post [C] or [N,C] float32, the scales of channels, for which demodulation and the next layer's style
serve; out, a channels_last tensor to write to (it must not be x), float32 or bfloat16, else one like x is made.
Reading and writing convert, arithmetic is in float32. No gradients. Where the C++ kernel does not serve, or not for
such legs, plain torch computes the same.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ops import backends, channel_scale
from ops.filtered_lrelu import LeakyReluClamp, Resampler, filtered_lrelu_torch
from ops.kernels.cpu import loader
from ops.polyphase import AxisResampling
from ops.upfirdn2d import upfirdn2d_torch

DTYPES = {torch.float32: 0, torch.bfloat16: 1}  # as stored; float16 is converted to and from float32 by torch
MAX_TAPS = 48  # the kernel's tables hold 64
FACTORS = 1, 2, 4

_long = ctypes.c_int64
_pointer = ctypes.c_void_p


class _Axis(ctypes.Structure):
    _fields_ = [(name, _long) for name in ("size_in", "size_out", "taps", "up", "down", "before")]


class _Leg(ctypes.Structure):
    _fields_ = [("y", _Axis), ("x", _Axis), ("f", _pointer), ("separable", _long)]


class FilteredLreluCArgs(ctypes.Structure):
    """What one call is told; see tiles.h."""

    filters: list[Tensor]
    _fields_ = [
        *((name, _pointer) for name in ("x", "v", "out", "bias", "scale", "gain")),
        *(
            (name, _long)
            for name in ("scale_step", "gain_step", "x_stride", "v_stride", "out_stride", "samples", "channels")
        ),
        *((name, _long) for name in ("dtype_in", "dtype_v", "dtype_out")),
        *((name, _Leg) for name in ("raise_", "before", "after")),
        ("slope", ctypes.c_float),
        ("clamp", ctypes.c_float),
        ("threads", _long),
    ]


class FilteredLreluCpu:
    """One layer's filtered leaky ReLU, made once and called for every picture. See the top of this file."""

    def __init__(self, raise_: Resampler, lower: Resampler, kink: LeakyReluClamp) -> None:
        self.raise_, self.lower, self.kink = raise_, lower, kink
        self.c_args = _make_c_args(raise_, None, lower, kink) if supports(raise_, lower) else None

    @property
    def in_size(self) -> tuple[int, int]:
        """Height and width of the pictures that it takes."""
        return self.raise_.y.size_in, self.raise_.x.size_in

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the pictures that it makes."""
        return self.lower.y.size_out, self.lower.x.size_out

    def __call__(
        self,
        x: Tensor,
        bias: Tensor | None = None,
        input_scale: Tensor | None = None,
        output_scale: Tensor | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Raises ValueError for tensors of another size, dtype or memory layout."""
        if self.c_args is None or x.dtype not in DTYPES or unsupported_reason(x) is not None or x.numel() == 0:
            return self._in_torch(x, bias, input_scale, output_scale, out)
        job = FilteredLreluCArgs.from_buffer_copy(self.c_args)
        if out is None:
            size = [x.shape[0], x.shape[1], self.lower.y.size_out, self.lower.x.size_out]
            out = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        kept = [
            _check_channels(t, x.shape, many) for t, many in ((bias, False), (input_scale, True), (output_scale, True))
        ]
        job.bias, job.scale, job.gain = (None if t is None else t.data_ptr() for t in kept)
        job.scale_step, job.gain_step = (x.shape[1] if t is not None and t.ndim == 2 else 0 for t in kept[1:])
        _call_kernel(job, x, None, out, loader.library())
        return out

    def _in_torch(
        self,
        x: Tensor,
        bias: Tensor | None,
        input_scale: Tensor | None,
        output_scale: Tensor | None,
        out: Tensor | None,
    ) -> Tensor:
        y = x if input_scale is None else x.to(self.raise_.f.dtype) * input_scale[..., None, None]
        y = filtered_lrelu_torch(y, bias, None, self.raise_, None, self.lower, self.kink)
        if output_scale is not None:
            y = y * output_scale[..., None, None]
        return y.to(x.dtype) if out is None else out.copy_(y)


def fused(
    x: Tensor,
    raise_: Resampler,
    lower: Resampler,
    kink: LeakyReluClamp,
    bias: Tensor | None = None,
    pre: Tensor | None = None,
    post: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """`Fused` made and called at once."""
    return FilteredLreluCpu(raise_, lower, kink)(x, bias, pre, post, out)


def supports(raise_: Resampler, after: Resampler, before: Resampler | None = None) -> bool:
    """Whether the kernel has been written for such filters and factors."""
    for leg in (raise_, after, before):
        if leg is None:
            continue
        for axis in (leg.y, leg.x):
            if axis.taps > MAX_TAPS or axis.up not in FACTORS or axis.down not in FACTORS:
                return False
    ups = [leg for leg in (raise_, before) if leg is not None]
    return all(leg.y.down == leg.x.down == 1 for leg in ups) and after.y.up == after.x.up == 1


def unsupported_reason(x: Tensor) -> str | None:
    """Why the kernel cannot take x, or None: what `backends.Form` asks."""
    if x.device.type != "cpu":
        return "it is for the CPU"
    if x.dtype not in DTYPES and x.dtype != torch.float16:
        return "it is for float32 and the half precisions"
    return loader.why_not()


def filtered_lrelu(
    x: Tensor,
    b: Tensor | None,
    v: Tensor | None,
    raise_: Resampler,
    before: Resampler | None,
    after: Resampler,
    kink: LeakyReluClamp,
) -> Tensor:
    """after(kink(raise_(x + b))), or after(kink'(raise_(x + b)) * before(v))."""
    found = loader.library()
    if found is None or not supports(raise_, after, before):
        return filtered_lrelu_torch(x, b, v, raise_, before, after, kink)
    return run(found, x, b, v, raise_, before, after, kink)


def upfirdn2d(x: Tensor, f: Tensor, y_span: AxisResampling, x_span: AxisResampling) -> Tensor:
    """Resampling is filtered leaky ReLU with one leg and a slope of 1."""
    found = loader.library()
    raise_, after = _as_filtered_lrelu(f, y_span, x_span)
    if found is None or not supports(raise_, after):
        return upfirdn2d_torch(x, f, y_span, x_span)
    return run(found, x, None, None, raise_, None, after, LeakyReluClamp(1.0, None))


@lru_cache(maxsize=1024)
def _as_filtered_lrelu(f: Tensor, y_span: AxisResampling, x_span: AxisResampling) -> tuple[Resampler, Resampler]:
    leg, point = Resampler(f, y_span, x_span), torch.ones(1, 1)
    if y_span.up == x_span.up == 1:
        return Resampler(point, *(AxisResampling(s.size_in, s.size_in) for s in (y_span, x_span))), leg
    return leg, Resampler(point, *(AxisResampling(s.size_out, s.size_out) for s in (y_span, x_span)))


def run(
    found: ctypes.CDLL,
    x: Tensor,
    b: Tensor | None,
    v: Tensor | None,
    raise_: Resampler,
    before: Resampler | None,
    after: Resampler,
    kink: LeakyReluClamp,
    threads: int | None = None,
) -> Tensor:
    dtype = x.dtype
    x, v = _to_channels_last(x), None if v is None else _to_channels_last(v)
    size = [x.shape[0], x.shape[1], after.y.size_out, after.x.size_out]
    out = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
    if out.numel() == 0:
        return out.to(dtype)
    filled = _cached_c_args(raise_, before, after, kink)
    job = FilteredLreluCArgs.from_buffer_copy(filled)
    bias = None if b is None else b.to(torch.float32).contiguous()
    job.bias = None if bias is None else bias.data_ptr()
    _call_kernel(job, x, v, out, found, threads)
    return out.to(dtype)


def scale_channels(x: Tensor, s: Tensor) -> Tensor:
    """x [N,C,H,W] times s [N,C]."""
    found = loader.library()
    if found is None or x.dtype != torch.float32:
        return channel_scale.scale_channels_torch(x, s)
    return run_scale_channels(found, x, s)


def run_scale_channels(found: ctypes.CDLL, x: Tensor, s: Tensor) -> Tensor:
    """`scale_channels` by this library."""
    x, s = _to_channels_last(x), s.contiguous()
    out = torch.empty_like(x)
    found.bandlimit_scale_channels(*_pointers(x, s, out), _size(x), torch.get_num_threads())
    return out


def dot_channels(x: Tensor, y: Tensor) -> Tensor:
    """The sums [N,C] of x * y, both [N,C,H,W]."""
    found = loader.library()
    if found is None or x.dtype != torch.float32:
        return channel_scale.dot_channels_torch(x, y)
    return run_dot_channels(found, x, y)


def run_dot_channels(found: ctypes.CDLL, x: Tensor, y: Tensor) -> Tensor:
    """`dot_channels` by this library. Raises MemoryError."""
    x, y = _to_channels_last(x), _to_channels_last(y)
    out = torch.empty(x.shape[:2])
    if found.bandlimit_dot_channels(*_pointers(x, y, out), _size(x), torch.get_num_threads()):
        raise MemoryError("There was not enough memory for the sums of channels; close other programs.")
    return out


def _pointers(*tensors: Tensor) -> list[_pointer]:
    return [_pointer(tensor.data_ptr()) for tensor in tensors]


def _size(x: Tensor) -> ctypes.Array[Any]:
    return (_long * 3)(x.shape[0], x.shape[2] * x.shape[3], x.shape[1])


def _to_channels_last(picture: Tensor) -> Tensor:
    """As the kernel reads it."""
    dtype = picture.dtype if picture.dtype in DTYPES else torch.float32
    return picture.to(dtype=dtype, memory_format=torch.channels_last).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=1024)
def _cached_c_args(
    raise_: Resampler, before: Resampler | None, after: Resampler, kink: LeakyReluClamp
) -> FilteredLreluCArgs:
    """`_job`, made once for a layer; copies of it need it for the filters."""
    return _make_c_args(raise_, before, after, kink)


def _make_c_args(
    raise_: Resampler, before: Resampler | None, after: Resampler, kink: LeakyReluClamp
) -> FilteredLreluCArgs:
    job = FilteredLreluCArgs(slope=kink.slope, clamp=-1.0 if kink.clamp is None else kink.clamp)
    job.filters = []  # kept as long as the job
    for name, leg in (("raise_", raise_), ("before", before), ("after", after)):
        if leg is not None:
            f = leg.f.to(torch.float32).contiguous()
            job.filters.append(f)
            y, x = (_Axis(s.size_in, s.size_out, s.taps, s.up, s.down, s.pad_before) for s in (leg.y, leg.x))
            setattr(job, name, _Leg(y, x, f.data_ptr(), int(f.ndim == 1)))
    return job


def _call_kernel(
    job: FilteredLreluCArgs,
    x: Tensor,
    v: Tensor | None,
    out: Tensor,
    found: ctypes.CDLL | None,
    threads: int | None = None,
):
    """Fill in the pictures and compute. x, v and out must be in channels_last memory."""
    _check(x, (job.raise_.y.size_in, job.raise_.x.size_in), x)
    _check(out, (job.after.y.size_out, job.after.x.size_out), x)
    job.x, job.out, job.dtype_in, job.dtype_out = x.data_ptr(), out.data_ptr(), DTYPES[x.dtype], DTYPES[out.dtype]
    job.samples, job.channels = x.shape[:2]
    job.x_stride = job.v_stride = job.out_stride = job.channels
    if v is not None:
        _check(v, (job.before.y.size_in, job.before.x.size_in), x)
        job.v, job.dtype_v = v.data_ptr(), DTYPES[v.dtype]
    job.threads = threads or torch.get_num_threads()
    if found is None:
        raise RuntimeError("The C++ kernel does not serve; ask ops.kernels.ready() first.")
    if found.bandlimit_filtered_lrelu(ctypes.byref(job)):
        raise MemoryError("There was not enough memory for filtered_lrelu's tiles; close other programs.")


def _check(picture: Tensor, size: tuple[int, int], like: Tensor) -> None:
    fits = picture.shape == (*like.shape[:2], *size) and picture.dtype in DTYPES and picture.device.type == "cpu"
    if not fits or not picture.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(
            f"The C++ kernel needs pictures {[*like.shape[:2], *size]} of float32 or bfloat16 in channels_last memory, "
            f"not {list(picture.shape)} of {picture.dtype}."
        )


def _check_channels(values: Tensor | None, shape: torch.Size, per_sample: bool) -> Tensor | None:
    """Of each channel, as the kernel reads them."""
    if values is None:
        return None
    fits = values.shape == (shape[1],) or (per_sample and values.shape == shape[:2])
    if not fits:
        raise ValueError(f"{list(values.shape)} numbers do not fit the channels of {list(shape)}.")
    return values.to(torch.float32).contiguous()


def register() -> None:
    """Let the ops ask for the C++ form first."""
    offered: dict[str, Callable[..., Tensor]] = {
        "filtered_lrelu": filtered_lrelu,
        "upfirdn2d": upfirdn2d,
        "scale_channels": scale_channels,
        "dot_channels": dot_channels,
    }
    for kernel, run in offered.items():
        backends.register(kernel, backends.Implementation("C++", run, unsupported_reason))
