"""3x3 convolution by way of fewer products, in plain torch, is convolution to 1e-5 of the largest value.

Float64 is the measure.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from naive_resampling import relative_error
from torch import Tensor

from ops.winograd import WinogradConv3x3

TOLERANCE = 5e-6


def exact(x: Tensor, weight: Tensor, styles: Tensor, gains: Tensor, bias: Tensor, padding: int) -> Tensor:
    y = F.conv2d((x * styles[:, None, None]).double(), weight.double(), padding=padding)
    return y * gains.double()[:, None, None] + bias.double()[:, None, None]


def some(channels: int, results: int, height: int, width: int) -> tuple[Tensor, ...]:
    torch.manual_seed(height * width)
    x = torch.randn(1, channels, height, width).contiguous(memory_format=torch.channels_last)
    scales = torch.rand(channels) + 0.5, torch.randn(results)
    return x, torch.randn(results, channels, 3, 3), *scales, torch.randn(results)


@pytest.mark.parametrize(("channels", "results"), [(1, 1), (3, 17), (130, 95), (512, 512)])
def test_any_number_of_channels(channels, results):
    x, weight, *rest = some(channels, results, 14, 21)
    made = WinogradConv3x3(weight)(x, *rest, padding=2)
    assert relative_error(made, exact(x, weight, *rest, padding=2)) < TOLERANCE


@pytest.mark.parametrize("height", [3, 4, 5, 6, 9, 31])
@pytest.mark.parametrize("width", [3, 4, 6, 18, 33])
@pytest.mark.parametrize("padding", [0, 1, 2, 5])
def test_any_size_and_padding(height, width, padding):
    x, weight, *rest = some(5, 6, height, width)
    made = WinogradConv3x3(weight)(x, *rest, padding=padding)
    assert relative_error(made, exact(x, weight, *rest, padding=padding)) < TOLERANCE


def test_a_picture_of_several_blocks():
    x, weight, *rest = some(160, 200, 150, 70)
    made = WinogradConv3x3(weight)(x, *rest, padding=2)
    assert relative_error(made, exact(x, weight, *rest, padding=2)) < TOLERANCE
    assert torch.equal(WinogradConv3x3(weight)(x, *rest, padding=2), made)


def test_numbers_of_any_size_and_memory_in_any_order():
    x, weight, *rest = some(12, 20, 11, 9)
    expected = exact(x, weight, *rest, padding=1)
    strided = torch.randn(1, 24, 22, 9)
    strided[:, ::2, ::2] = x
    for picture in (x.contiguous(), strided[:, ::2, ::2]):
        assert relative_error(WinogradConv3x3(weight)(picture, *rest, padding=1), expected) < TOLERANCE
    turned = weight.transpose(2, 3).contiguous().transpose(2, 3)
    assert relative_error(WinogradConv3x3(turned)(x, *rest, padding=1), expected) < TOLERANCE
    rest[2].zero_()
    small = WinogradConv3x3(weight)(x * 1e-30, *rest, padding=1)
    assert relative_error(small, exact(x * 1e-30, weight, *rest, padding=1)) < TOLERANCE


def test_other_kernels_are_refused():
    with pytest.raises(ValueError, match="3x3"):
        WinogradConv3x3(torch.randn(4, 3, 5, 5))
