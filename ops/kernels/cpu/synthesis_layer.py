"""A StyleGAN3 synthesis layer without gradients in one call of the C++ kernel.

    layer = SynthesisLayerCpu(convolution, activation, affine, affine_bias, demod_weights, bias, padding)       once
    y = layer(x, w)                                                                                   for every image

computes, without the time that calling its parts from Python takes (as long as a small layer itself):

    styles = affine @ w + affine_bias
    demodulation = (demod_weights @ styles^2)^-1/2, or 1 without demod_weights
    y = filtered_lrelu(convolution(x * styles) * demodulation + bias)
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ops.image_allocator import empty_padded_image, pixel_stride
from ops.kernels.cpu import loader
from ops.kernels.cpu.convolution import ConvCArgs, ConvolutionCpu
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCArgs, FilteredLreluCpu

_pointer = ctypes.c_void_p


class _SynthesisLayerCArgs(ctypes.Structure):
    """The C struct SynthesisLayerArgs (synthesis_layer.h)."""

    _fields_ = [
        *((name, _pointer) for name in ("w", "affine", "affine_bias", "demod_weights", "conv_output")),
        *((name, ctypes.c_int64) for name in ("w_dim", "kernel")),
        ("conv", ConvCArgs),
        ("filter", FilteredLreluCArgs),
    ]


class SynthesisLayerCpu:
    """A prepared synthesis layer. See the top of this file."""

    def __init__(
        self,
        convolution: ConvolutionCpu,
        activation: FilteredLreluCpu,
        affine: Tensor,
        affine_bias: Tensor,
        demod_weights: Tensor | None,
        bias: Tensor,
        padding: int,
        library: ctypes.CDLL | None = None,
    ) -> None:
        """affine [I,w_dim], affine_bias [I], demod_weights [O,I] or None (no demodulation), bias [O], all float32.

        Raises ValueError for tensors that do not fit or filters that the kernel does not support; RuntimeError if no
        library is in use and none is given.
        """
        library = library or loader.library()
        if library is None:
            raise RuntimeError("The C++ kernel does not serve; ask ops.kernels.ready() first.")
        self._library = library
        if activation.c_args is None:
            raise ValueError("The kernel takes no such filters; ask ops.kernels.cpu.filtered_lrelu.supports first.")
        in_channels, out_channels = convolution.in_channels, convolution.out_channels
        self._in_size = tuple(size - 2 * padding + convolution.kernel_size - 1 for size in activation.in_size)
        self._conv_output_shape = [1, out_channels, *activation.in_size]
        self._out_shape = [out_channels, *activation.out_size]
        self._parts = convolution, activation  # keeps the memory that the C struct points to
        self._tensors = [affine.contiguous(), affine_bias.contiguous(), bias.contiguous()]
        self._demod_weights = None if demod_weights is None else demod_weights.contiguous()
        shapes = [(in_channels, affine.shape[1]), (in_channels,), (out_channels,)]
        expected = [*zip(self._tensors, shapes, strict=True)]
        if self._demod_weights is not None:
            expected.append((self._demod_weights, (out_channels, in_channels)))
        if any(t.shape != shape or t.dtype != torch.float32 or t.device.type != "cpu" for t, shape in expected):
            raise ValueError(f"The layer's tensors do not fit its {in_channels} and {out_channels} channels.")
        self.w_dim = affine.shape[1]
        c_args = _SynthesisLayerCArgs(w_dim=self.w_dim, kernel=convolution.kernel_size, filter=activation.c_args)
        c_args.affine, c_args.affine_bias, c_args.filter.bias = (t.data_ptr() for t in self._tensors)
        c_args.demod_weights = None if self._demod_weights is None else self._demod_weights.data_ptr()
        c_args.conv.weights = convolution.weights.data_ptr()
        c_args.conv.in_channels, c_args.conv.out_channels = in_channels, out_channels
        c_args.conv.padding = padding
        c_args.conv.height, c_args.conv.width = self._in_size
        c_args.filter.channels = out_channels
        self._c_args = c_args

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N,I,H,W], w [N,w_dim] -> [N,O,H',W'], all float32; raises ValueError for anything else."""
        samples, channels = x.shape[0], self._c_args.conv.in_channels
        if x.shape[1:] != (channels, *self._in_size) or x.dtype != torch.float32 or x.device.type != "cpu":
            raise ValueError(
                f"The layer needs pictures {['N', channels, *self._in_size]} of float32 on the CPU, "
                f"not {list(x.shape)} of {x.dtype}."
            )
        if w.shape != (samples, self.w_dim) or w.dtype != torch.float32:
            raise ValueError(f"The layer needs w {[samples, self.w_dim]} of float32, not {list(w.shape)} of {w.dtype}.")
        x_stride = pixel_stride(x)
        if x_stride is None:
            x, x_stride = x.contiguous(memory_format=torch.channels_last), channels
        w = w.contiguous()
        conv_output, conv_output_stride = empty_padded_image(self._conv_output_shape, short_lived=True)
        out, out_stride = empty_padded_image([samples, *self._out_shape])
        c_args = _SynthesisLayerCArgs.from_buffer_copy(self._c_args)
        c_args.w, c_args.conv_output, c_args.filter.samples = w.data_ptr(), conv_output.data_ptr(), samples
        c_args.conv.x, c_args.filter.out = x.data_ptr(), out.data_ptr()
        c_args.conv.x_stride, c_args.conv.out_stride = x_stride, conv_output_stride
        c_args.filter.out_stride = out_stride
        c_args.conv.threads = c_args.filter.threads = torch.get_num_threads()
        if self._library.bandlimit_layer(ctypes.byref(c_args)):
            raise MemoryError("There was not enough memory for a layer's tiles; close other programs.")
        return out
