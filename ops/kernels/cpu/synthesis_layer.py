"""A layer of StyleGAN3 without gradients in one call of the C++ kernel: the way to it takes as long as a small layer.

    layer = Layer(convolve, fused, affine, affine_bias, squares, bias, padding)     once
    y = layer(x, w)                                                                 for every picture

y = fused(convolve(x * styles) * demodulation + bias), with styles = affine @ w + affine_bias and
demodulation = (squares @ styles^2)^-1/2, or 1 without squares.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ops.image_allocator import aligned_picture, pixel_stride
from ops.kernels.cpu import loader
from ops.kernels.cpu.convolution import Convolution
from ops.kernels.cpu.convolution import Job as ConvolutionJob
from ops.kernels.cpu.filtered_lrelu import Fused
from ops.kernels.cpu.filtered_lrelu import Job as FilterJob

_pointer = ctypes.c_void_p


class _Job(ctypes.Structure):
    _fields_ = [
        *((name, _pointer) for name in ("w", "affine", "affine_bias", "squares", "between")),
        *((name, ctypes.c_int64) for name in ("w_dim", "kernel")),
        ("convolution", ConvolutionJob),
        ("filter", FilterJob),
    ]


class Layer:
    """See the top of this file."""

    def __init__(
        self,
        convolve: Convolution,
        fused: Fused,
        affine: Tensor,
        affine_bias: Tensor,
        squares: Tensor | None,
        bias: Tensor,
        padding: int,
        found: ctypes.CDLL | None = None,
    ) -> None:
        """affine [I,w_dim], affine_bias [I], squares [O,I] or None, bias [O], all float32.

        Raises ValueError where tensors do not fit or the kernel takes no such filters; RuntimeError where no library
        serves, and none is given.
        """
        found = found or loader.library()
        if found is None:
            raise RuntimeError("The C++ kernel does not serve; ask ops.kernels.ready() first.")
        self._library = found
        if fused.job is None:
            raise ValueError("The kernel takes no such filters; ask ops.kernels.cpu.takes first.")
        self._size_in = tuple(s - 2 * padding + convolve.kernel - 1 for s in fused.size_in)
        self._between = [1, convolve.results, *fused.size_in]
        self._out = [convolve.results, *fused.size_out]
        self._parts = convolve, fused  # their memory is in use
        self._tensors = [affine.contiguous(), affine_bias.contiguous(), bias.contiguous()]
        self._squares = None if squares is None else squares.contiguous()
        shapes = [(convolve.channels, affine.shape[1]), (convolve.channels,), (convolve.results,)]
        given = [*zip(self._tensors, shapes, strict=True)]
        if self._squares is not None:
            given.append((self._squares, (convolve.results, convolve.channels)))
        if any(t.shape != shape or t.dtype != torch.float32 or t.device.type != "cpu" for t, shape in given):
            raise ValueError(f"The layer's tensors do not fit its {convolve.channels} and {convolve.results} channels.")
        self.w_dim = affine.shape[1]
        job = _Job(w_dim=self.w_dim, kernel=convolve.kernel, filter=fused.job)
        job.affine, job.affine_bias, job.filter.bias = (t.data_ptr() for t in self._tensors)
        job.squares = None if self._squares is None else self._squares.data_ptr()
        job.convolution.weights = convolve.weights.data_ptr()
        job.convolution.channels, job.convolution.results = convolve.channels, convolve.results
        job.convolution.padding = padding
        job.convolution.height, job.convolution.width = self._size_in
        job.filter.channels = convolve.results
        self._job = job

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N,I,H,W], w [N,w_dim] -> [N,O,H',W'], all float32; raises ValueError for others."""
        samples, channels = x.shape[0], self._job.convolution.channels
        if x.shape[1:] != (channels, *self._size_in) or x.dtype != torch.float32 or x.device.type != "cpu":
            raise ValueError(
                f"The layer needs pictures {['N', channels, *self._size_in]} of float32 on the CPU, "
                f"not {list(x.shape)} of {x.dtype}."
            )
        if w.shape != (samples, self.w_dim) or w.dtype != torch.float32:
            raise ValueError(f"The layer needs w {[samples, self.w_dim]} of float32, not {list(w.shape)} of {w.dtype}.")
        x_stride = pixel_stride(x)
        if x_stride is None:
            x, x_stride = x.contiguous(memory_format=torch.channels_last), channels
        w = w.contiguous()
        (between, between_stride), (out, out_stride) = (
            aligned_picture(self._between, brief=True),
            aligned_picture([samples, *self._out]),
        )
        job = _Job.from_buffer_copy(self._job)
        job.w, job.between, job.filter.samples = w.data_ptr(), between.data_ptr(), samples
        job.convolution.x, job.filter.out = x.data_ptr(), out.data_ptr()
        job.convolution.x_stride, job.convolution.out_stride, job.filter.out_stride = (
            x_stride,
            between_stride,
            out_stride,
        )
        job.convolution.threads = job.filter.threads = torch.get_num_threads()
        if self._library.bandlimit_layer(ctypes.byref(job)):
            raise MemoryError("There was not enough memory for a layer's tiles; close other programs.")
        return out
