"""Filtered leaky ReLU, resampling and channel scaling in C++, for float32 and bfloat16 on the CPU, without gradients.

A prepared layer uses the first directly:

    layer = FilteredLreluCpu(args)                              once per layer, args as in `ops.filtered_lrelu`
    y = layer(x, bias, input_scale, output_scale, out)          filtered_lrelu(x * input_scale + bias) * output_scale

x is [N,C,H,W] in channels_last memory (NHWC), of the size that `args` was built for. The rest is optional: bias [C]
float32; the scales [C] or [N,C] float32, for example demodulation and the next layer's styles; out, a channels_last
tensor of float32 or bfloat16 to write to, which must not overlap x. Without it the result has x's dtype. Arithmetic is
in float32. Where the compiled kernel is not in use, or does not support such filters, plain torch computes the same.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ops import backends, channel_scale
from ops.filtered_lrelu import FilteredLreluArgs, LeakyReluClamp, Resampler, filtered_lrelu_torch
from ops.kernels.cpu import loader
from ops.polyphase import AxisResampling
from ops.upfirdn2d import upfirdn2d_torch

DTYPES = {torch.float32: 0, torch.bfloat16: 1}  # codes of the stored dtype; torch converts float16 to and from float32
MAX_TAPS = 48  # the kernel's tables have 64 entries
FACTORS = 1, 2, 4

_long = ctypes.c_int64
_pointer = ctypes.c_void_p


class _AxisCArgs(ctypes.Structure):
    _fields_ = [(name, _long) for name in ("size_in", "size_out", "taps", "up", "down", "pad_before")]


class _ResamplerCArgs(ctypes.Structure):
    _fields_ = [("y", _AxisCArgs), ("x", _AxisCArgs), ("f", _pointer), ("separable", _long)]


class FilteredLreluCArgs(ctypes.Structure):
    """The C struct FilteredLreluArgs (filtered_lrelu.h), with the filters that it points to."""

    filters: list[Tensor]
    _fields_ = [
        *((name, _pointer) for name in ("x", "grad", "out", "bias", "input_scale", "output_scale")),
        *((name, _long) for name in ("input_scale_stride", "output_scale_stride")),
        *((name, _long) for name in ("x_stride", "grad_stride", "out_stride", "samples", "channels")),
        *((name, _long) for name in ("dtype_x", "dtype_grad", "dtype_out")),
        *((name, _ResamplerCArgs) for name in ("upsampler", "grad_upsampler", "downsampler")),
        ("slope", ctypes.c_float),
        ("clamp", ctypes.c_float),
        ("threads", _long),
    ]


class FilteredLreluCpu:
    """The filtered leaky ReLU of one layer, prepared once and called for every image. See the top of this file."""

    def __init__(self, args: FilteredLreluArgs) -> None:
        self.args = args
        self.c_args = _make_c_args(args) if supports(args) else None

    @property
    def in_size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self.args.upsampler.y.size_in, self.args.upsampler.x.size_in

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        return self.args.downsampler.y.size_out, self.args.downsampler.x.size_out

    def __call__(
        self,
        x: Tensor,
        bias: Tensor | None = None,
        input_scale: Tensor | None = None,
        output_scale: Tensor | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """[N,C,*in_size] -> [N,C,*out_size]; raises ValueError for tensors of another size, dtype or memory layout."""
        if self.c_args is None or x.dtype not in DTYPES or unsupported_reason(x) is not None or x.numel() == 0:
            return self._in_torch(x, bias, input_scale, output_scale, out)
        c_args = FilteredLreluCArgs.from_buffer_copy(self.c_args)
        if out is None:
            out = torch.empty([*x.shape[:2], *self.out_size], dtype=x.dtype, memory_format=torch.channels_last)
        bias = _channel_values(bias, x.shape, per_sample=False)
        input_scale = _channel_values(input_scale, x.shape, per_sample=True)
        output_scale = _channel_values(output_scale, x.shape, per_sample=True)
        c_args.bias, c_args.input_scale, c_args.output_scale = map(_address, (bias, input_scale, output_scale))
        c_args.input_scale_stride = _sample_stride(input_scale)
        c_args.output_scale_stride = _sample_stride(output_scale)
        _call_kernel(loader.library(), c_args, x, None, out)
        return out

    def _in_torch(
        self,
        x: Tensor,
        bias: Tensor | None,
        input_scale: Tensor | None,
        output_scale: Tensor | None,
        out: Tensor | None,
    ) -> Tensor:
        y = x if input_scale is None else x.to(self.args.upsampler.f.dtype) * input_scale[..., None, None]
        y = filtered_lrelu_torch(y, bias, None, self.args)
        if output_scale is not None:
            y = y * output_scale[..., None, None]
        return y.to(x.dtype) if out is None else out.copy_(y)


def supports(args: FilteredLreluArgs) -> bool:
    """Return whether the kernel supports these filters and factors."""
    upsamplers = [r for r in (args.upsampler, args.grad_upsampler) if r is not None]
    for axis in (axis for r in (*upsamplers, args.downsampler) for axis in (r.y, r.x)):
        if axis.taps > MAX_TAPS or axis.up not in FACTORS or axis.down not in FACTORS:
            return False
    return all(r.y.down == r.x.down == 1 for r in upsamplers) and args.downsampler.y.up == args.downsampler.x.up == 1


def unsupported_reason(x: Tensor) -> str | None:
    """Return why the kernel cannot take x, or None if it can: `backends.Implementation.unsupported_reason`."""
    if x.device.type != "cpu":
        return "it is for the CPU"
    if x.dtype not in DTYPES and x.dtype != torch.float16:
        return "it is for float32 and the half precisions"
    return loader.unavailable_reason()


def filtered_lrelu(x: Tensor, b: Tensor | None, grad: Tensor | None, args: FilteredLreluArgs) -> Tensor:
    """Compute `ops.filtered_lrelu.filtered_lrelu_torch`, in C++ where that is possible."""
    library = loader.library()
    if library is None or not supports(args):
        return filtered_lrelu_torch(x, b, grad, args)
    return run(library, x, b, grad, args)


def upfirdn2d(x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor:
    """Compute `ops.upfirdn2d.upfirdn2d_torch` as a filtered leaky ReLU of slope 1, with one filter of a single tap."""
    library = loader.library()
    args = _as_filtered_lrelu(f, y_axis, x_axis)
    if library is None or not supports(args):
        return upfirdn2d_torch(x, f, y_axis, x_axis)
    return run(library, x, None, None, args)


@lru_cache(maxsize=1024)
def _as_filtered_lrelu(f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> FilteredLreluArgs:
    resampler, single_tap = Resampler(f, y_axis, x_axis), torch.ones(1, 1)
    if y_axis.up == x_axis.up == 1:
        sizes = y_axis.size_in, x_axis.size_in
        identity = Resampler(single_tap, *(AxisResampling(size, size) for size in sizes))
        return FilteredLreluArgs(identity, resampler, LeakyReluClamp(1.0, None))
    sizes = y_axis.size_out, x_axis.size_out
    identity = Resampler(single_tap, *(AxisResampling(size, size) for size in sizes))
    return FilteredLreluArgs(resampler, identity, LeakyReluClamp(1.0, None))


def run(
    library: ctypes.CDLL,
    x: Tensor,
    b: Tensor | None,
    grad: Tensor | None,
    args: FilteredLreluArgs,
    threads: int | None = None,
) -> Tensor:
    """Compute `filtered_lrelu` with this library, in any memory layout and dtype. Raises MemoryError."""
    dtype = x.dtype
    x, grad = _to_channels_last(x), None if grad is None else _to_channels_last(grad)
    size = [x.shape[0], x.shape[1], args.downsampler.y.size_out, args.downsampler.x.size_out]
    out = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
    if out.numel() == 0:
        return out.to(dtype)
    layer_args = _cached_c_args(args)  # holds the filters, which a copy only points to
    c_args = FilteredLreluCArgs.from_buffer_copy(layer_args)
    bias = None if b is None else b.to(torch.float32).contiguous()
    c_args.bias = _address(bias)
    _call_kernel(library, c_args, x, grad, out, threads)
    return out.to(dtype)


def scale_channels(x: Tensor, s: Tensor) -> Tensor:
    """Multiply x [N,C,H,W] by s [N,C]."""
    library = loader.library()
    if library is None or x.dtype != torch.float32:
        return channel_scale.scale_channels_torch(x, s)
    return run_scale_channels(library, x, s)


def run_scale_channels(library: ctypes.CDLL, x: Tensor, s: Tensor) -> Tensor:
    """Compute `scale_channels` with this library."""
    x, s = _to_channels_last(x), s.contiguous()
    out = torch.empty_like(x)
    library.bandlimit_scale_channels(*_pointers(x, s, out), _c_sizes(x), torch.get_num_threads())
    return out


def dot_channels(x: Tensor, y: Tensor) -> Tensor:
    """Sum x * y, both [N,C,H,W], over the pixels: [N,C]."""
    library = loader.library()
    if library is None or x.dtype != torch.float32:
        return channel_scale.dot_channels_torch(x, y)
    return run_dot_channels(library, x, y)


def run_dot_channels(library: ctypes.CDLL, x: Tensor, y: Tensor) -> Tensor:
    """Compute `dot_channels` with this library. Raises MemoryError."""
    x, y = _to_channels_last(x), _to_channels_last(y)
    out = torch.empty(x.shape[:2])
    if library.bandlimit_dot_channels(*_pointers(x, y, out), _c_sizes(x), torch.get_num_threads()):
        raise MemoryError("There was not enough memory for the sums of channels; close other programs.")
    return out


def _pointers(*tensors: Tensor) -> list[_pointer]:
    return [_pointer(tensor.data_ptr()) for tensor in tensors]


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _sample_stride(values: Tensor | None) -> int:
    return values.shape[1] if values is not None and values.ndim == 2 else 0


def _c_sizes(x: Tensor) -> ctypes.Array[Any]:
    """N, pixels, C."""
    return (_long * 3)(x.shape[0], x.shape[2] * x.shape[3], x.shape[1])


def _to_channels_last(x: Tensor) -> Tensor:
    """Return x in memory and a dtype that the kernel reads."""
    dtype = x.dtype if x.dtype in DTYPES else torch.float32
    return x.to(dtype=dtype, memory_format=torch.channels_last).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=1024)
def _cached_c_args(args: FilteredLreluArgs) -> FilteredLreluCArgs:
    return _make_c_args(args)


def _make_c_args(args: FilteredLreluArgs) -> FilteredLreluCArgs:
    """Fill in what does not depend on the tensors of a call."""
    clamp = args.activation.clamp
    c_args = FilteredLreluCArgs(slope=args.activation.slope, clamp=-1.0 if clamp is None else clamp)
    c_args.filters = []
    for name in ("upsampler", "grad_upsampler", "downsampler"):
        resampler: Resampler | None = getattr(args, name)
        if resampler is not None:
            f = resampler.f.to(torch.float32).contiguous()
            c_args.filters.append(f)
            y, x = (
                _AxisCArgs(axis.size_in, axis.size_out, axis.taps, axis.up, axis.down, axis.pad_before)
                for axis in (resampler.y, resampler.x)
            )
            setattr(c_args, name, _ResamplerCArgs(y, x, f.data_ptr(), int(f.ndim == 1)))
    return c_args


def _call_kernel(
    library: ctypes.CDLL | None,
    c_args: FilteredLreluCArgs,
    x: Tensor,
    grad: Tensor | None,
    out: Tensor,
    threads: int | None = None,
) -> None:
    """Fill in the tensors, all in channels_last memory, and call the kernel."""
    _check_layout(x, (c_args.upsampler.y.size_in, c_args.upsampler.x.size_in), x)
    _check_layout(out, (c_args.downsampler.y.size_out, c_args.downsampler.x.size_out), x)
    c_args.x, c_args.out = x.data_ptr(), out.data_ptr()
    c_args.dtype_x, c_args.dtype_out = DTYPES[x.dtype], DTYPES[out.dtype]
    c_args.samples, c_args.channels = x.shape[:2]
    c_args.x_stride = c_args.grad_stride = c_args.out_stride = c_args.channels
    if grad is not None:
        _check_layout(grad, (c_args.grad_upsampler.y.size_in, c_args.grad_upsampler.x.size_in), x)
        c_args.grad, c_args.dtype_grad = grad.data_ptr(), DTYPES[grad.dtype]
    c_args.threads = threads or torch.get_num_threads()
    if library is None:
        raise RuntimeError("The C++ kernel does not serve; ask ops.kernels.ready() first.")
    if library.bandlimit_filtered_lrelu(ctypes.byref(c_args)):
        raise MemoryError("There was not enough memory for filtered_lrelu's tiles; close other programs.")


def _check_layout(image: Tensor, size: tuple[int, int], like: Tensor) -> None:
    fits = image.shape == (*like.shape[:2], *size) and image.dtype in DTYPES and image.device.type == "cpu"
    if not fits or not image.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(
            f"The C++ kernel needs pictures {[*like.shape[:2], *size]} of float32 or bfloat16 in channels_last memory, "
            f"not {list(image.shape)} of {image.dtype}."
        )


def _channel_values(values: Tensor | None, shape: torch.Size, per_sample: bool) -> Tensor | None:
    """Return values [C], or [N,C] if `per_sample`, as contiguous float32. Raises ValueError for another shape."""
    if values is None:
        return None
    fits = values.shape == (shape[1],) or (per_sample and values.shape == shape[:2])
    if not fits:
        raise ValueError(f"{list(values.shape)} numbers do not fit the channels of {list(shape)}.")
    return values.to(torch.float32).contiguous()


def register() -> None:
    """Register the C++ implementations, to be preferred over plain torch."""
    implementations: dict[str, Callable[..., Tensor]] = {
        "filtered_lrelu": filtered_lrelu,
        "upfirdn2d": upfirdn2d,
        "scale_channels": scale_channels,
        "dot_channels": dot_channels,
    }
    for op, function in implementations.items():
        backends.register(op, backends.Implementation("C++", function, unsupported_reason))
