"""First and second derivatives agree with finite differences in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import ops


def leaf(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def both(op, *inputs: Tensor) -> bool:
    return gradcheck(op, inputs) and gradgradcheck(op, inputs)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize(
    ("taps", "up", "down", "padding"),
    [([4], 2, 1, [3, 1, -1, 2]), ([3, 5], 1, 2, [0, 2, 1, 4]), ([6], 3, 2, 4)],
)
def test_upfirdn2d(taps, up, down, padding):
    f = torch.randn(taps)
    assert both(lambda x: ops.upfirdn2d(x, f, up, down, padding), leaf(1, 2, 4, 5))


@pytest.mark.parametrize("clamp", [None, 0.5])
@pytest.mark.parametrize("fd", [[4], [4, 3]])
def test_filtered_lrelu(fd, clamp):
    fu, fd = torch.randn(6), torch.randn(fd)
    assert both(
        lambda x, b: ops.filtered_lrelu(x, fu, fd, b, 2, 2, [4, 3, 5, 2], clamp=clamp).square(),
        leaf(2, 2, 3, 4),
        leaf(2),
    )


@pytest.mark.parametrize("act", list(ops.ACTIVATIONS))
def test_bias_act(act):
    assert both(lambda x, b: ops.bias_act(x, b, act=act, clamp=0.8), leaf(2, 3, 4), leaf(3))


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("fused", [True, False])
def test_stylegan2_convolution(up, down, fused):
    f = ops.setup_filter([1, 3, 3, 1])

    def op(x, w, s, noise):
        return ops.modulated_conv2d_stylegan2(
            x, w, s, noise, up=up, down=down, padding=1, resample_filter=f, fused_modconv=fused
        )

    assert both(op, leaf(2, 2, 4, 4), leaf(2, 2, 3, 3), leaf(2, 2), leaf(1))


def test_stylegan3_convolution():
    assert both(
        lambda x, w, s, gain: ops.modulated_conv2d_stylegan3(x, w, s, padding=2, input_gain=gain),
        leaf(2, 2, 3, 3),
        leaf(2, 2, 3, 3),
        leaf(2, 2),
        leaf(2),
    )
