"""Winograd's 3x3 convolution in plain torch agrees with direct convolution in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from naive_resampling import relative_error
from torch import Tensor

from ops.winograd import WinogradConv3x3

TOLERANCE = 5e-6


def reference(
    x: Tensor, weight: Tensor, input_scale: Tensor, output_scale: Tensor, bias: Tensor, padding: int
) -> Tensor:
    y = F.conv2d((x * input_scale[:, None, None]).double(), weight.double(), padding=padding)
    return y * output_scale.double()[:, None, None] + bias.double()[:, None, None]


def random_inputs(in_channels: int, out_channels: int, height: int, width: int) -> tuple[Tensor, ...]:
    torch.manual_seed(height * width)
    x = torch.randn(1, in_channels, height, width).contiguous(memory_format=torch.channels_last)
    scales = torch.rand(in_channels) + 0.5, torch.randn(out_channels)
    return x, torch.randn(out_channels, in_channels, 3, 3), *scales, torch.randn(out_channels)


@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 1), (3, 17), (130, 95), (512, 512)])
def test_any_number_of_channels(in_channels, out_channels):
    x, weight, *rest = random_inputs(in_channels, out_channels, 14, 21)
    actual = WinogradConv3x3(weight)(x, *rest, padding=2)
    assert relative_error(actual, reference(x, weight, *rest, padding=2)) < TOLERANCE


@pytest.mark.parametrize("height", [3, 4, 5, 6, 9, 31])
@pytest.mark.parametrize("width", [3, 4, 6, 18, 33])
@pytest.mark.parametrize("padding", [0, 1, 2, 5])
def test_any_size_and_padding(height, width, padding):
    x, weight, *rest = random_inputs(5, 6, height, width)
    actual = WinogradConv3x3(weight)(x, *rest, padding=padding)
    assert relative_error(actual, reference(x, weight, *rest, padding=padding)) < TOLERANCE


def test_an_image_of_several_blocks():
    x, weight, *rest = random_inputs(160, 200, 150, 70)
    actual = WinogradConv3x3(weight)(x, *rest, padding=2)
    assert relative_error(actual, reference(x, weight, *rest, padding=2)) < TOLERANCE
    assert torch.equal(WinogradConv3x3(weight)(x, *rest, padding=2), actual)


def test_values_of_any_size_and_any_memory_layout():
    x, weight, *rest = random_inputs(12, 20, 11, 9)
    expected = reference(x, weight, *rest, padding=1)
    strided = torch.randn(1, 24, 22, 9)
    strided[:, ::2, ::2] = x
    for layout in (x.contiguous(), strided[:, ::2, ::2]):
        assert relative_error(WinogradConv3x3(weight)(layout, *rest, padding=1), expected) < TOLERANCE
    transposed = weight.transpose(2, 3).contiguous().transpose(2, 3)
    assert relative_error(WinogradConv3x3(transposed)(x, *rest, padding=1), expected) < TOLERANCE
    rest[2].zero_()
    small = WinogradConv3x3(weight)(x * 1e-30, *rest, padding=1)
    assert relative_error(small, reference(x * 1e-30, weight, *rest, padding=1)) < TOLERANCE


def test_other_kernel_sizes_are_rejected():
    with pytest.raises(ValueError, match="3x3"):
        WinogradConv3x3(torch.randn(4, 3, 5, 5))
