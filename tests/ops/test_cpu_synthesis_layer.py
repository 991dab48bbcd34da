"""A synthesis layer in one C++ call refuses what does not fit, and its result is independent of threads and batch.

tests/networks/test_prepared.py compares it with the plain forward pass.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from naive_resampling import relative_error

from ops.filtered_lrelu import FilteredLreluArgs, LeakyReluClamp, resamplers
from ops.image_allocator import empty_padded_image, pixel_stride
from ops.kernels.cpu.convolution import ConvolutionCpu
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCpu
from ops.kernels.cpu.synthesis_layer import SynthesisLayerCpu

pytestmark = pytest.mark.usefixtures("kernel")


def make_layer(kernel_size: int = 3, inputs: int = 70, outputs: int = 40, size: int = 20, taps: int = 12):
    return SynthesisLayerCpu(*layer_parts(kernel_size, inputs, outputs, size, taps))


def layer_parts(kernel_size: int, inputs: int, outputs: int, size: int, taps: int = 12) -> Any:
    """The arguments of SynthesisLayerCpu, for random weights."""
    f = torch.rand(taps) / taps
    like = torch.empty(1, 1, *2 * [size + kernel_size - 1])
    args = FilteredLreluArgs(*resamplers(like, f, f, 2, 2, (10, 10, 10, 10), 1.4), LeakyReluClamp(0.2, 256.0))
    activation, convolution = (
        FilteredLreluCpu(args),
        ConvolutionCpu(torch.randn(outputs, inputs, kernel_size, kernel_size)),
    )
    affine, affine_bias = torch.randn(inputs, 8), torch.randn(inputs)
    demod_weights, bias = torch.rand(outputs, inputs), torch.randn(outputs)
    return convolution, activation, affine, affine_bias, demod_weights, bias, kernel_size - 1


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize(("inputs", "outputs", "size"), [(70, 40, 20), (17, 3, 36), (600, 520, 9)])
def test_neither_threads_nor_other_images_change_a_bit(kernel_size, inputs, outputs, size):
    layer = make_layer(kernel_size, inputs, outputs, size)
    x, w = torch.randn(3, inputs, size, size), torch.randn(3, 8)
    torch.set_num_threads(1)
    y = layer(x, w)
    assert pixel_stride(y) is not None and bool(y.isfinite().all())
    for threads in (2, 3, 5):
        torch.set_num_threads(threads)
        assert torch.equal(layer(x, w), y)
    for n in range(3):
        assert torch.equal(layer(x[n : n + 1], w[n : n + 1]), y[n : n + 1])


def test_any_memory_layout_gives_the_same_result():
    layer, x, w = make_layer(), torch.randn(1, 70, 20, 20), torch.randn(1, 16)
    expected = layer(x, w[:, ::2].contiguous())
    assert torch.equal(layer(x.contiguous(memory_format=torch.channels_last), w[:, ::2]), expected)
    assert torch.equal(layer(x.transpose(2, 3).contiguous().transpose(2, 3), w[:, ::2]), expected)


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize(("inputs", "outputs"), [(94, 47), (300, 227)])
def test_padding_between_pixels_changes_no_bit(kernel_size, inputs, outputs):
    """The padding is never read, and large images agree with the layer's parts run one by one without padding."""
    parts = layer_parts(kernel_size, inputs, outputs, 110)
    convolution, activation, affine, affine_bias, demod_weights, bias, padding = parts
    layer = SynthesisLayerCpu(*parts)
    x, w = torch.randn(2, inputs, 110, 110), torch.randn(2, 8)
    expected = layer(x, w)
    styles = w @ affine.T + affine_bias
    demodulation = (styles.square() @ demod_weights.T).rsqrt()
    by_parts = activation(convolution(x, styles, padding=padding), bias, demodulation)
    assert relative_error(expected, by_parts) < 1e-5
    padded, stride = empty_padded_image(x.shape)
    assert stride > inputs and stride == pixel_stride(padded)
    padded.as_strided((2, stride, 110, 110), padded.stride()).fill_(torch.nan)
    assert torch.equal(layer(padded.copy_(x), w), expected)
    assert expected.stride(3) > outputs and pixel_stride(expected) == expected.stride(3)


def test_inputs_that_do_not_fit_are_refused():
    layer, x, w = make_layer(), torch.randn(1, 70, 20, 20), torch.randn(1, 8)
    for wrong in (x[:, :69], x[:, :, :19], x.double(), x[0]):
        with pytest.raises(ValueError, match="needs pictures"):
            layer(wrong, w)
    for wrong in (w[:, :7], torch.randn(2, 8), w.double()):
        with pytest.raises(ValueError, match="needs w"):
            layer(x, wrong)
    with pytest.raises(ValueError, match="no such filters"):
        make_layer(taps=60, size=80)
    args = FilteredLreluArgs(*resamplers(x, None, None, 1, 1, 0, 1.0), LeakyReluClamp(1.0, None))
    activation, convolution = FilteredLreluCpu(args), ConvolutionCpu(torch.randn(5, 70, 1, 1))
    with pytest.raises(ValueError, match="do not fit"):
        SynthesisLayerCpu(convolution, activation, torch.randn(69, 8), torch.randn(70), None, torch.randn(5), 0)
