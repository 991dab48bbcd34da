"""The compiled 1x1 and 3x3 convolutions are correct for any shape, memory layout and number of threads.

The reference is float64: direct convolution in float32 is within 1e-6 of the largest value, Winograd's within 3e-6, and
that of a thousand channels by two levels of Strassen's algorithm within 6e-6.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from naive_resampling import relative_error
from torch import Tensor

from networks.architectures.stylegan3 import layer_table
from networks.config import StyleGAN3Config
from ops.kernels.cpu.convolution import ConvolutionCpu

pytestmark = pytest.mark.usefixtures("kernel")
TOLERANCE = 5e-6
T = StyleGAN3Config(img_resolution=128, channel_base=8192, channel_max=128)
R = replace(T, conv_kernel=1, channel_base=16384, channel_max=256, use_radial_filters=True)
LAYERS = [pytest.param(s, id=f"{kind} {s.name}") for kind, c in (("T", T), ("R", R)) for s in layer_table(c)[1]]
both_kernels = pytest.mark.parametrize("kernel_size", [1, 3], ids=["1x1", "3x3"])


def reference(x: Tensor, weight: Tensor, input_scale: Tensor | None = None, padding: int | None = None) -> Tensor:
    x, padding = x.double(), weight.shape[2] // 2 if padding is None else padding
    if input_scale is not None:
        x = x * input_scale.double()[:, None, None]
    return F.conv2d(x, weight.double(), padding=padding)


@pytest.mark.parametrize("spec", LAYERS)
def test_every_layer_of_stylegan3_is_convolved_correctly(spec):
    size, k = min(spec.in_size, 84), spec.conv_kernel
    x, weight = torch.randn(1, spec.in_channels, size, size), torch.randn(spec.out_channels, spec.in_channels, k, k)
    input_scale = torch.rand(spec.in_channels) + 0.5
    actual = ConvolutionCpu(weight)(x, input_scale, padding=k - 1)
    assert actual.is_contiguous(memory_format=torch.channels_last)
    assert relative_error(actual, reference(x, weight, input_scale, k - 1)) < TOLERANCE


@both_kernels
@pytest.mark.parametrize("in_channels", [1, 3, 15, 16, 17, 31, 130, 257])
@pytest.mark.parametrize("out_channels", [1, 4, 17, 33, 48, 95])
def test_any_number_of_channels(in_channels, out_channels, kernel_size):
    x, weight = torch.randn(1, in_channels, 7, 10), torch.randn(out_channels, in_channels, kernel_size, kernel_size)
    assert relative_error(ConvolutionCpu(weight)(x), reference(x, weight)) < TOLERANCE


@pytest.mark.parametrize(
    ("in_channels", "out_channels"), [(256, 256), (255, 249), (193, 192), (512, 362), (1023, 130), (321, 256)]
)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (5, 11), (7, 8), (3, 19), (13, 17)])
def test_many_channels_and_any_number_of_pixels(in_channels, out_channels, size):
    x, weight = torch.randn(1, in_channels, *size), torch.randn(out_channels, in_channels, 1, 1)
    input_scale, output_scale = torch.rand(in_channels) + 0.5, torch.rand(out_channels) + 0.5
    expected = reference(x, weight, input_scale) * output_scale[:, None, None]
    assert relative_error(ConvolutionCpu(weight)(x, input_scale, output_scale), expected) < TOLERANCE


@pytest.mark.parametrize("size", [(1, 3), (7, 8), (13, 17)])
def test_a_thousand_channels(size):
    x, weight = torch.randn(1, 1021, *size), torch.randn(1023, 1021, 1, 1)
    assert relative_error(ConvolutionCpu(weight)(x), reference(x, weight)) < 1e-5


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 6, 9, 31])
@pytest.mark.parametrize("width", [1, 3, 4, 6, 18, 33])
@pytest.mark.parametrize("padding", [0, 1, 2, 5])
def test_any_size_and_padding(height, width, padding):
    x, weight = torch.randn(1, 5, height, width), torch.randn(6, 5, 3, 3)
    if min(height, width) + 2 * padding < 3:
        with pytest.raises(ValueError, match="needs pictures"):
            ConvolutionCpu(weight)(x, padding=padding)
        return
    actual = ConvolutionCpu(weight)(x, padding=padding)
    expected = reference(x, weight, padding=padding)
    assert actual.shape == expected.shape
    assert relative_error(actual, expected) < TOLERANCE


@both_kernels
def test_every_image_has_its_own_scales(kernel_size):
    x, weight = torch.randn(3, 18, 9, 9), torch.randn(21, 18, kernel_size, kernel_size)
    input_scale, output_scale = torch.randn(3, 18), torch.randn(3, 21)
    expected = (
        torch.cat([reference(x[n : n + 1], weight, input_scale[n]) for n in range(3)]) * output_scale[:, :, None, None]
    )
    actual = ConvolutionCpu(weight)(x, input_scale, output_scale)
    assert relative_error(actual, expected) < TOLERANCE
    for n in range(3):
        assert torch.equal(ConvolutionCpu(weight)(x[n : n + 1], input_scale[n], output_scale[n])[0], actual[n])


@both_kernels
@pytest.mark.parametrize(("in_channels", "out_channels", "size"), [(40, 24, 50), (560, 700, 21)])
def test_threads_and_blocks_do_not_change_a_bit(in_channels, out_channels, size, kernel_size):
    x, weight = (
        torch.randn(1, in_channels, size, size + 3),
        torch.randn(out_channels, in_channels, kernel_size, kernel_size),
    )
    convolution = ConvolutionCpu(weight)
    actual = convolution(x, threads=1)
    assert relative_error(actual, reference(x, weight)) < TOLERANCE
    for threads in (2, 3, 7):
        assert torch.equal(convolution(x, threads=threads), actual)
    # Rows that do not depend on the lower half are the same without it, and for another number of tiles.
    assert torch.equal(convolution(x[:, :, :12], threads=2)[:, :, :8], actual[:, :, :8])


@both_kernels
def test_any_memory_layout(kernel_size):
    x, weight = torch.randn(1, 12, 11, 9), torch.randn(20, 12, kernel_size, kernel_size)
    expected = reference(x, weight)
    strided = torch.randn(3, 24, 22, 9)
    strided[1:2, ::2, ::2] = x
    for layout in (x, x.contiguous(memory_format=torch.channels_last), strided[1:2, ::2, ::2]):
        assert relative_error(ConvolutionCpu(weight)(layout), expected) < TOLERANCE
    transposed = weight.transpose(2, 3).contiguous().transpose(2, 3)
    assert relative_error(ConvolutionCpu(transposed)(x), expected) < TOLERANCE
    input_scale = torch.rand(24)
    assert (
        relative_error(ConvolutionCpu(weight)(x, input_scale[::2]), reference(x, weight, input_scale[::2])) < TOLERANCE
    )


def test_nan_spreads_no_further_than_a_tile():
    x, weight = torch.randn(1, 3, 16, 16), torch.randn(5, 3, 3, 3)
    x[0, 1, 1, 1] = torch.nan
    actual = ConvolutionCpu(weight)(x)
    assert bool(actual[:, :, :3, :3].isnan().all())
    assert bool(actual[:, :, 4:].isfinite().all()) and bool(actual[:, :, :, 4:].isfinite().all())


@both_kernels
def test_denormals_are_not_flushed_to_zero(kernel_size):
    """Loading and running the kernel leaves the processor's floating-point mode as it was."""
    x, weight = torch.randn(1, 4, 8, 8), torch.zeros(4, 4, kernel_size, kernel_size)
    weight[range(4), range(4), kernel_size // 2, kernel_size // 2] = 1e-3
    actual = ConvolutionCpu(weight)(x * 1e-36)
    assert relative_error(actual, reference(x * 1e-36, weight)) < 1e-3
    assert float(torch.tensor(1e-40) * 1.0) > 0


@both_kernels
def test_several_threads_may_call_at_once(kernel_size):
    x, weight = torch.randn(1, 600, 20, 20), torch.randn(600, 600, kernel_size, kernel_size)
    convolution = ConvolutionCpu(weight)
    expected = convolution(x)
    outputs: list[Tensor] = []
    workers = [threading.Thread(target=lambda: outputs.append(convolution(x, threads=2))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(outputs) == 3
    assert all(torch.equal(output, expected) for output in outputs)


def test_inputs_that_do_not_fit_are_rejected():
    convolution = ConvolutionCpu(torch.randn(4, 3, 3, 3))
    for x in (torch.randn(1, 4, 5, 5), torch.randn(1, 3, 5, 5).double(), torch.randn(3, 5, 5)):
        with pytest.raises(ValueError, match="needs pictures"):
            convolution(x)
    with pytest.raises(ValueError, match="scales do not fit"):
        convolution(torch.randn(1, 3, 5, 5), torch.ones(2))
    with pytest.raises(ValueError, match="3x3"):
        ConvolutionCpu(torch.randn(4, 3, 5, 5))
