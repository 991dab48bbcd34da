"""Resampling agrees with its definition for any size, factor, padding and memory layout, and is deterministic."""

from __future__ import annotations

import random

import naive_resampling as naive
import pytest
import torch
from naive_resampling import relative_error
from torch import Tensor

import ops


def random_filter(rng: random.Random) -> Tensor | None:
    shape = rng.choice([None, [1], [3], [6], [9], [12], [2, 5], [4, 4], [6, 1]])
    return None if shape is None else torch.randn(shape)


def random_images(rng: random.Random) -> Tensor:
    """Return images of a small random size and memory layout."""
    n, c, h, w = (rng.randint(1, top) for top in (2, 5, 11, 11))
    layout = rng.choice(["plain", "channels last", "every second", "transposed"])
    if layout == "every second":
        return torch.randn(n, c * 2, h, w * 2)[:, ::2, :, ::2]
    if layout == "transposed":
        return torch.randn(n, c, w, h).transpose(2, 3)
    x = torch.randn(n, c, h, w)
    return x.contiguous(memory_format=torch.channels_last) if layout == "channels last" else x


@pytest.mark.parametrize("seed", range(60))
def test_upfirdn2d_agrees_with_its_definition(seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    x, f = random_images(rng), random_filter(rng)
    up, down = ([rng.randint(1, 4) for _ in range(2)] for _ in range(2))
    padding = [rng.randint(-4, 14) for _ in range(4)]
    arguments = (f, up, down, padding, rng.random() < 0.5, rng.choice([1, 0.3, 4, -2]))
    if not leaves_something(x, f, up, padding):
        with pytest.raises(ValueError, match="Nothing is left"):
            ops.upfirdn2d(x, *arguments)
        return
    assert relative_error(ops.upfirdn2d(x, *arguments), naive.upfirdn2d(x, *arguments)) < 1e-5


@pytest.mark.parametrize("seed", range(40))
def test_filtered_lrelu_agrees_with_its_definition(seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    x, fu, fd = random_images(rng), random_filter(rng), random_filter(rng)
    up, down = rng.randint(1, 4), rng.randint(1, 4)
    padding = [rng.randint(-2, 30) for _ in range(4)]
    clamp = rng.choice([None, 0.4, 1e4])
    arguments = (fu, fd, torch.randn(x.shape[1]), up, down, padding, 1.3, 0.2, clamp, rng.random() < 0.5)
    if not leaves_something(x, fu, [up, up], padding, fd):
        with pytest.raises(ValueError, match="Nothing is left"):
            ops.filtered_lrelu(x, *arguments)
        return
    assert relative_error(ops.filtered_lrelu(x, *arguments), naive.filtered_lrelu(x, *arguments)) < 1e-5


def leaves_something(x: Tensor, f: Tensor | None, up: list[int], padding: list[int], then=None) -> bool:
    for axis, size in ((0, x.shape[3]), (1, x.shape[2])):
        remaining = size * up[axis] + padding[2 * axis] + padding[2 * axis + 1]
        for taps in (f, then):
            if taps is not None:
                remaining -= taps.shape[-1 if axis == 0 else 0] - 1
        if remaining < 1:
            return False
    return True


# Large enough for several blocks: all three ways of choosing them.
LARGE = [
    pytest.param((1, 70, 80, 90), 2, [9, 8, 9, 8], 12, 12, id="64 channels at a time"),
    pytest.param((2, 20, 60, 150), 4, [-6, -9, -6, -9], 24, 12, id="16 channels at a time"),
    pytest.param((1, 17, 200, 500), 2, [11, 10, 3, 2], 12, (12, 12), id="rows at a time"),
]


@pytest.mark.parametrize(("shape", "up", "padding", "up_taps", "down_taps"), LARGE)
def test_blocks_do_not_change_the_result(shape, up, padding, up_taps, down_taps):
    torch.manual_seed(0)
    x, b = torch.randn(shape), torch.randn(shape[1])
    fu, fd = torch.randn(up_taps) / up_taps, torch.randn(down_taps) / 12
    settings = (up, 2, padding, 1.4, 0.2, 0.7, False)
    x.requires_grad_()
    b.requires_grad_()
    y = ops.filtered_lrelu(x, fu, fd, b, *settings)
    cotangent = torch.randn_like(y)
    grad_x, grad_b = torch.autograd.grad(y, [x, b], cotangent)
    for c in (0, 15, shape[1] - 1):  # channels are independent, so a few suffice
        channel_x, channel_b = x[:, c : c + 1].detach().requires_grad_(), b[c : c + 1].detach().requires_grad_()
        expected = naive.filtered_lrelu(channel_x, fu, fd, channel_b, *settings)
        assert relative_error(y[:, c : c + 1].detach(), expected.detach()) < 1e-5
        # In float32 a few samples have the other sign at the leaky ReLU, which changes the gradient a little there.
        expected_x, expected_b = torch.autograd.grad(expected, [channel_x, channel_b], cotangent[:, c : c + 1].double())
        assert (grad_x[:, c : c + 1] - expected_x).norm() < 1e-3 * expected_x.norm()
        assert relative_error(grad_b[c : c + 1], expected_b) < 1e-2


def test_blocks_within_the_padding_are_zero():
    x, f = torch.ones(1, 1, 4, 4), torch.ones(4) / 4
    y = ops.filtered_lrelu(x, f, f, torch.ones(1), 2, 2, [4000, 4000, 4000, 4000], clamp=256)
    assert y[..., 1990:2020, 1990:2020].abs().sum() > 0
    y[..., 1990:2020, 1990:2020] = 0
    assert not y.any()


def test_the_memory_layout_does_not_change_a_bit():
    x, b = torch.randn(2, 70, 80, 90), torch.randn(70)
    f = torch.randn(12)
    shuffled = x.permute(1, 3, 0, 2).contiguous().permute(2, 0, 3, 1)
    inputs = [x, x.contiguous(memory_format=torch.channels_last), shuffled, x.clone()]
    layers = [ops.filtered_lrelu(i, f, f, b, 2, 2, [9, 8, 9, 8], clamp=256) for i in inputs]
    resampled = [ops.upfirdn2d(i, f, 2, 1, 5) for i in inputs]
    assert all(torch.equal(layers[0], other) for other in layers[1:])
    assert all(torch.equal(resampled[0], other) for other in resampled[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_only_once(dtype):
    x, b, f = torch.randn(1, 3, 20, 20).to(dtype), torch.randn(3).to(dtype), torch.randn(12)
    for op in (
        lambda x, b: ops.upfirdn2d(x, f, 2, 1, 8),
        lambda x, b: ops.filtered_lrelu(x, f, f, b, 2, 2, [9, 8, 9, 8], clamp=256),
    ):
        assert torch.equal(op(x, b), op(x.float(), b.float()).to(dtype))


def test_the_clamp_limits_large_signals_and_passes_nan():
    f = torch.ones(4) / 4
    x = torch.full([1, 1, 8, 8], 1e6)
    assert ops.filtered_lrelu(x, f, None, None, 2, 1, 3, clamp=256).max() == 256
    x[0, 0, 4, 4] = torch.nan
    assert ops.filtered_lrelu(x, f, None, None, 2, 1, 3, clamp=256).isnan().any()


def test_describe_names_the_implementation_in_use():
    assert any(f"filtered_lrelu: {form}" in ops.describe() for form in ("plain torch", "C++"))
    assert "\n" not in ops.describe()
