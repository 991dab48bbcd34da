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

from ops.image_allocator import empty_padded_image, pixel_stride
from ops.kernels.cpu import loader
from ops.kernels.cpu.convolution import ConvCArgs as ConvolutionJob
from ops.kernels.cpu.convolution import ConvolutionCpu
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCArgs as FilterJob
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCpu

_pointer = ctypes.c_void_p


class _SynthesisLayerCArgs(ctypes.Structure):
    _fields_ = [
        *((name, _pointer) for name in ("w", "affine", "affine_bias", "squares", "between")),
        *((name, ctypes.c_int64) for name in ("w_dim", "kernel")),
        ("convolution", ConvolutionJob),
        ("filter", FilterJob),
    ]


class SynthesisLayerCpu:
    """See the top of this file."""

    def __init__(
        self,
        convolve: ConvolutionCpu,
        fused: FilteredLreluCpu,
        affine: Tensor,
        affine_bias: Tensor,
        demod_weights: Tensor | None,
        bias: Tensor,
        padding: int,
        library: ctypes.CDLL | None = None,
    ) -> None:
        """affine [I,w_dim], affine_bias [I], squares [O,I] or None, bias [O], all float32.

        Raises ValueError where tensors do not fit or the kernel takes no such filters; RuntimeError where no library
        serves, and none is given.
        """
        library = library or loader.library()
        if library is None:
            raise RuntimeError("The C++ kernel does not serve; ask ops.kernels.ready() first.")
        self._library = library
        if fused.c_args is None:
            raise ValueError("The kernel takes no such filters; ask ops.kernels.cpu.takes first.")
        self._size_in = tuple(s - 2 * padding + convolve.kernel_size - 1 for s in fused.in_size)
        self._between = [1, convolve.out_channels, *fused.in_size]
        self._out = [convolve.out_channels, *fused.out_size]
        self._parts = convolve, fused  # their memory is in use
        self._tensors = [affine.contiguous(), affine_bias.contiguous(), bias.contiguous()]
        self._demod_weights = None if demod_weights is None else demod_weights.contiguous()
        shapes = [(convolve.in_channels, affine.shape[1]), (convolve.in_channels,), (convolve.out_channels,)]
        given = [*zip(self._tensors, shapes, strict=True)]
        if self._demod_weights is not None:
            given.append((self._demod_weights, (convolve.out_channels, convolve.in_channels)))
        if any(t.shape != shape or t.dtype != torch.float32 or t.device.type != "cpu" for t, shape in given):
            raise ValueError(
                f"The layer's tensors do not fit its {convolve.in_channels} and {convolve.out_channels} channels."
            )
        self.w_dim = affine.shape[1]
        job = _SynthesisLayerCArgs(w_dim=self.w_dim, kernel=convolve.kernel_size, filter=fused.c_args)
        job.affine, job.affine_bias, job.filter.bias = (t.data_ptr() for t in self._tensors)
        job.squares = None if self._demod_weights is None else self._demod_weights.data_ptr()
        job.convolution.weights = convolve.weights.data_ptr()
        job.convolution.channels, job.convolution.results = convolve.in_channels, convolve.out_channels
        job.convolution.padding = padding
        job.convolution.height, job.convolution.width = self._size_in
        job.filter.channels = convolve.out_channels
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
            empty_padded_image(self._between, short_lived=True),
            empty_padded_image([samples, *self._out]),
        )
        job = _SynthesisLayerCArgs.from_buffer_copy(self._job)
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
