"""The compiled 1x1 and 3x3 convolutions are convolution, for any shape, memory and number of threads.

Float64 is the measure: direct convolution in float32 is within 1e-6 of the largest value, that with a fourth of the
products within 3e-6, and that of a thousand channels, with 49 products for 64, within 6e-6.
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
both_kernels = pytest.mark.parametrize("side", [1, 3], ids=["1x1", "3x3"])


def exact(x: Tensor, weight: Tensor, scale: Tensor | None = None, padding: int | None = None) -> Tensor:
    x, padding = x.double(), weight.shape[2] // 2 if padding is None else padding
    if scale is not None:
        x = x * scale.double()[:, None, None]
    return F.conv2d(x, weight.double(), padding=padding)


@pytest.mark.parametrize("spec", LAYERS)
def test_every_layer_of_stylegan3(spec):
    size, k = min(spec.in_size, 84), spec.conv_kernel
    x, weight = torch.randn(1, spec.in_channels, size, size), torch.randn(spec.out_channels, spec.in_channels, k, k)
    scale = torch.rand(spec.in_channels) + 0.5
    made = ConvolutionCpu(weight)(x, scale, padding=k - 1)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert relative_error(made, exact(x, weight, scale, k - 1)) < TOLERANCE


@both_kernels
@pytest.mark.parametrize("channels", [1, 3, 15, 16, 17, 31, 130, 257])
@pytest.mark.parametrize("results", [1, 4, 17, 33, 48, 95])
def test_any_number_of_channels(channels, results, side):
    x, weight = torch.randn(1, channels, 7, 10), torch.randn(results, channels, side, side)
    assert relative_error(ConvolutionCpu(weight)(x), exact(x, weight)) < TOLERANCE


@pytest.mark.parametrize(
    ("channels", "results"), [(256, 256), (255, 249), (193, 192), (512, 362), (1023, 130), (321, 256)]
)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (5, 11), (7, 8), (3, 19), (13, 17)])
def test_many_channels_of_any_number_of_pixels(channels, results, size):
    x, weight = torch.randn(1, channels, *size), torch.randn(results, channels, 1, 1)
    scale, gain = torch.rand(channels) + 0.5, torch.rand(results) + 0.5
    expected = exact(x, weight, scale) * gain[:, None, None]
    assert relative_error(ConvolutionCpu(weight)(x, scale, gain), expected) < TOLERANCE


@pytest.mark.parametrize("size", [(1, 3), (7, 8), (13, 17)])
def test_a_thousand_channels(size):
    x, weight = torch.randn(1, 1021, *size), torch.randn(1023, 1021, 1, 1)
    assert relative_error(ConvolutionCpu(weight)(x), exact(x, weight)) < 1e-5


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 6, 9, 31])
@pytest.mark.parametrize("width", [1, 3, 4, 6, 18, 33])
@pytest.mark.parametrize("padding", [0, 1, 2, 5])
def test_any_size_and_padding(height, width, padding):
    x, weight = torch.randn(1, 5, height, width), torch.randn(6, 5, 3, 3)
    if min(height, width) + 2 * padding < 3:
        with pytest.raises(ValueError, match="needs pictures"):
            ConvolutionCpu(weight)(x, padding=padding)
        return
    made = ConvolutionCpu(weight)(x, padding=padding)
    expected = exact(x, weight, padding=padding)
    assert made.shape == expected.shape
    assert relative_error(made, expected) < TOLERANCE


@both_kernels
def test_every_picture_has_its_own_scales(side):
    x, weight = torch.randn(3, 18, 9, 9), torch.randn(21, 18, side, side)
    scale, gain = torch.randn(3, 18), torch.randn(3, 21)
    expected = torch.cat([exact(x[n : n + 1], weight, scale[n]) for n in range(3)]) * gain[:, :, None, None]
    made = ConvolutionCpu(weight)(x, scale, gain)
    assert relative_error(made, expected) < TOLERANCE
    for n in range(3):
        assert torch.equal(ConvolutionCpu(weight)(x[n : n + 1], scale[n], gain[n])[0], made[n])


@both_kernels
@pytest.mark.parametrize(("channels", "results", "size"), [(40, 24, 50), (560, 700, 21)])
def test_threads_and_blocks_change_no_bit(channels, results, size, side):
    x, weight = torch.randn(1, channels, size, size + 3), torch.randn(results, channels, side, side)
    convolve = ConvolutionCpu(weight)
    made = convolve(x, threads=1)
    assert relative_error(made, exact(x, weight)) < TOLERANCE
    for threads in (2, 3, 7):
        assert torch.equal(convolve(x, threads=threads), made)
    # The rows that do not see the lower half are the same whatever it is, and however many tiles there are.
    assert torch.equal(convolve(x[:, :, :12], threads=2)[:, :, :8], made[:, :, :8])


@both_kernels
def test_memory_in_any_order(side):
    x, weight = torch.randn(1, 12, 11, 9), torch.randn(20, 12, side, side)
    expected = exact(x, weight)
    strided = torch.randn(3, 24, 22, 9)
    strided[1:2, ::2, ::2] = x
    for picture in (x, x.contiguous(memory_format=torch.channels_last), strided[1:2, ::2, ::2]):
        assert relative_error(ConvolutionCpu(weight)(picture), expected) < TOLERANCE
    turned = weight.transpose(2, 3).contiguous().transpose(2, 3)
    assert relative_error(ConvolutionCpu(turned)(x), expected) < TOLERANCE
    scale = torch.rand(24)
    assert relative_error(ConvolutionCpu(weight)(x, scale[::2]), exact(x, weight, scale[::2])) < TOLERANCE


def test_what_is_no_number_spreads_no_further_than_a_tile():
    x, weight = torch.randn(1, 3, 16, 16), torch.randn(5, 3, 3, 3)
    x[0, 1, 1, 1] = torch.nan
    made = ConvolutionCpu(weight)(x)
    assert bool(made[:, :, :3, :3].isnan().all())
    assert bool(made[:, :, 4:].isfinite().all()) and bool(made[:, :, :, 4:].isfinite().all())


@both_kernels
def test_small_numbers_survive(side):
    """Whoever loads and uses the kernel finds the processor's arithmetic as it was."""
    x, weight = torch.randn(1, 4, 8, 8), torch.zeros(4, 4, side, side)
    weight[range(4), range(4), side // 2, side // 2] = 1e-3
    made = ConvolutionCpu(weight)(x * 1e-36)
    assert relative_error(made, exact(x * 1e-36, weight)) < 1e-3
    assert float(torch.tensor(1e-40) * 1.0) > 0


@both_kernels
def test_several_threads_call_at_once(side):
    x, weight = torch.randn(1, 600, 20, 20), torch.randn(600, 600, side, side)
    convolve = ConvolutionCpu(weight)
    expected = convolve(x)
    made: list[Tensor] = []
    workers = [threading.Thread(target=lambda: made.append(convolve(x, threads=2))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(made) == 3
    assert all(torch.equal(one, expected) for one in made)


def test_what_does_not_fit_is_refused():
    convolve = ConvolutionCpu(torch.randn(4, 3, 3, 3))
    for x in (torch.randn(1, 4, 5, 5), torch.randn(1, 3, 5, 5).double(), torch.randn(3, 5, 5)):
        with pytest.raises(ValueError, match="needs pictures"):
            convolve(x)
    with pytest.raises(ValueError, match="scales do not fit"):
        convolve(torch.randn(1, 3, 5, 5), torch.ones(2))
    with pytest.raises(ValueError, match="3x3"):
        ConvolutionCpu(torch.randn(4, 3, 5, 5))
