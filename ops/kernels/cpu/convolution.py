"""1x1 and 3x3 convolution in float32 on the CPU in C++, without gradients.

    convolution = ConvolutionCpu(weight)                        once, packs the weights [O,I,k,k]
    y = convolution(x, input_scale, output_scale, padding)      conv2d(x * input_scale, weight, padding) * output_scale

x is [N,I,H,W]; the scales are optional, [I] or [N,I] and [O] or [N,O]; y [N,O,H',W'] is in channels_last memory. 3x3 is
Winograd's F(4x4, 3x3), with a quarter of the multiplications; 1x1 of many channels is Strassen's algorithm. They differ
from direct convolution by rounding, about 2e-6 of the largest value at 512 channels.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ops.image_allocator import empty_image
from ops.kernels.cpu import loader

_long = ctypes.c_int64
_pointer = ctypes.c_void_p
CHANNELS_LAST = torch.channels_last
KERNEL_SIZES = 1, 3


class ConvCArgs(ctypes.Structure):
    """The C struct ConvArgs (gemm.h)."""

    _fields_ = [
        *((name, _pointer) for name in ("x", "input_scale", "output_scale", "weights", "out")),
        *((name, _long) for name in ("height", "width", "in_channels", "out_channels")),
        *((name, _long) for name in ("x_stride", "out_stride", "padding", "threads")),
    ]


class ConvolutionCpu:
    """A convolution with packed weights. See the top of this file."""

    def __init__(self, weight: Tensor, library: ctypes.CDLL | None = None) -> None:
        """Pack weight [O,I,k,k].

        Raises RuntimeError if no library is in use and none is given, ValueError for kernels other than 1x1 and 3x3.
        """
        library = library or loader.library()
        if library is None:
            raise RuntimeError("The C++ kernel does not serve; ask ops.kernels.ready() first.")
        self._library = library
        self.out_channels, self.in_channels, self.kernel_size = weight.shape[:3]
        if weight.shape[3] != self.kernel_size or self.kernel_size not in KERNEL_SIZES:
            raise ValueError(f"The compiled convolution is for 1x1 and 3x3 kernels, not {list(weight.shape[2:])}.")
        weight = weight.detach().to("cpu", torch.float32).contiguous(memory_format=CHANNELS_LAST)
        sizes = _long(self.out_channels), _long(self.in_channels), _long(self.kernel_size)
        packed_size = library.bandlimit_packed_size
        packed_size.restype = _long
        self.weights = torch.empty(packed_size(*sizes))
        library.bandlimit_pack(_pointer(weight.data_ptr()), *sizes, _pointer(self.weights.data_ptr()))

    def __call__(
        self,
        x: Tensor,
        input_scale: Tensor | None = None,
        output_scale: Tensor | None = None,
        padding: int | None = None,
        threads: int | None = None,
    ) -> Tensor:
        """Convolve x [N,I,H,W] to [N,O,H',W']; a `padding` of None keeps the size.

        Raises ValueError for inputs that are not [N,I,H,W] float32 on the CPU, or too small.
        """
        padding = self.kernel_size // 2 if padding is None else padding
        fits = x.ndim == 4 and x.shape[1] == self.in_channels and x.dtype == torch.float32 and x.device.type == "cpu"
        if not fits or padding < 0 or min(x.shape[2:]) + 2 * padding < self.kernel_size:
            raise ValueError(
                f"The convolution needs pictures [N, {self.in_channels}, H, W] of float32, "
                f"not {list(x.shape)} of {x.dtype}."
            )
        if self.kernel_size == 1 and padding:
            raise ValueError("The compiled 1x1 convolution takes no padding: what it adds is zeros anyway.")
        x = x.contiguous(memory_format=CHANNELS_LAST)
        height, width = (size + 2 * padding - self.kernel_size + 1 for size in x.shape[2:])
        out = empty_image([len(x), self.out_channels, height, width])
        input_scale = _expand_scale(input_scale, len(x), self.in_channels)
        output_scale = _expand_scale(output_scale, len(x), self.out_channels)
        c_args = ConvCArgs(weights=self.weights.data_ptr(), padding=padding)
        c_args.in_channels, c_args.out_channels = c_args.x_stride, c_args.out_stride = (
            self.in_channels,
            self.out_channels,
        )
        c_args.height, c_args.width = x.shape[2:]
        c_args.threads = threads or torch.get_num_threads()
        for n in range(len(x)):
            c_args.x, c_args.out = x[n].data_ptr(), out[n].data_ptr()
            c_args.input_scale = None if input_scale is None else input_scale[n].data_ptr()
            c_args.output_scale = None if output_scale is None else output_scale[n].data_ptr()
            if self._library.bandlimit_convolve(ctypes.byref(c_args), _long(self.kernel_size)):
                raise MemoryError("There was not enough memory for a convolution's tiles; close other programs.")
        return out


def _expand_scale(values: Tensor | None, samples: int, channels: int) -> Tensor | None:
    """Expand [channels] to contiguous [samples, channels] float32. Raises ValueError for another shape."""
    if values is None:
        return None
    if values.shape not in ((channels,), (samples, channels)):
        raise ValueError(f"{list(values.shape)} scales do not fit {samples} pictures of {channels} channels.")
    return values.to(torch.float32).expand(samples, channels).contiguous()
