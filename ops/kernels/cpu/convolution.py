"""Convolution in float32 on the CPU in C++, where there is the library: 3x3 with a fourth of the products, and 1x1.

    convolve = Convolution(weight)                  once for weights [O,I,k,k], which are kept as the kernel wants them
    y = convolve(x, scale, gain, padding)           conv2d(x * scale, weight, padding) * gain

x is [N,I,H,W]; scale and gain are optional: [I] or [N,I], [O] or [N,O]; y [N,O,H',W'] is in channels_last memory. The
forms for 3x3 and for many channels of 1x1 are Winograd's and Strassen's, which differ from direct convolution by
rounding, about 2e-6 of the largest value at 512 channels. No gradients.
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
    """What one call is told; see products.h."""

    _fields_ = [
        *((name, _pointer) for name in ("x", "scale", "gain", "weights", "out")),
        *(
            (name, _long)
            for name in ("height", "width", "channels", "results", "x_stride", "out_stride", "padding", "threads")
        ),
    ]


class ConvolutionCpu:
    """Weights as the kernel wants them, and the convolution with them. See the top of this file."""

    def __init__(self, weight: Tensor, library: ctypes.CDLL | None = None) -> None:
        """Raises RuntimeError where no library serves, and none is given; ValueError for other kernels."""
        library = library or loader.library()
        if library is None:
            raise RuntimeError("The C++ kernel does not serve; ask ops.kernels.ready() first.")
        self._library = library
        self.out_channels, self.in_channels, self.kernel_size = weight.shape[:3]
        if weight.shape[3] != self.kernel_size or self.kernel_size not in KERNEL_SIZES:
            raise ValueError(f"The compiled convolution is for 1x1 and 3x3 kernels, not {list(weight.shape[2:])}.")
        weight = weight.detach().to("cpu", torch.float32).contiguous(memory_format=CHANNELS_LAST)
        sizes = _long(self.out_channels), _long(self.in_channels), _long(self.kernel_size)
        size = library.bandlimit_packed_size
        size.restype = _long
        self.weights = torch.empty(size(*sizes))
        library.bandlimit_pack(_pointer(weight.data_ptr()), *sizes, _pointer(self.weights.data_ptr()))

    def __call__(
        self,
        x: Tensor,
        input_scale: Tensor | None = None,
        output_scale: Tensor | None = None,
        padding: int | None = None,
        threads: int | None = None,
    ) -> Tensor:
        """A `padding` of None keeps the size.

        Raises ValueError for pictures that are not [N,I,H,W] float32 on the CPU, or too small.
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
        height, width = (side + 2 * padding - self.kernel_size + 1 for side in x.shape[2:])
        out = empty_image([len(x), self.out_channels, height, width])
        scales, gains = (
            _expand_scale(input_scale, len(x), self.in_channels),
            _expand_scale(output_scale, len(x), self.out_channels),
        )
        job = ConvCArgs(
            weights=self.weights.data_ptr(), channels=self.in_channels, results=self.out_channels, padding=padding
        )
        job.x_stride, job.out_stride = self.in_channels, self.out_channels
        job.height, job.width = x.shape[2:]
        job.threads = threads or torch.get_num_threads()
        for n in range(len(x)):
            job.x, job.out = x[n].data_ptr(), out[n].data_ptr()
            job.scale, job.gain = (None if f is None else f[n].data_ptr() for f in (scales, gains))
            if self._library.bandlimit_convolve(ctypes.byref(job), _long(self.kernel_size)):
                raise MemoryError("There was not enough memory for a convolution's tiles; close other programs.")
        return out


def _expand_scale(values: Tensor | None, samples: int, channels: int) -> Tensor | None:
    """[N, channels], as the kernel reads them."""
    if values is None:
        return None
    if values.shape not in ((channels,), (samples, channels)):
        raise ValueError(f"{list(values.shape)} scales do not fit {samples} pictures of {channels} channels.")
    return values.to(torch.float32).expand(samples, channels).contiguous()
