"""Modulated convolution agrees with its definition for one image and a batch, fused or not, in any precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from naive_resampling import relative_error
from torch import Tensor

import ops


def definition(x: Tensor, w: Tensor, s: Tensor) -> Tensor:
    """Karras et al. 2020, Eq. 1 and 3, image by image, in float64."""
    outputs = []
    for image, style in zip(x.double(), s.double(), strict=True):
        weight = w.double() * style[None, :, None, None]
        weight = weight / (weight.square().sum([1, 2, 3], keepdim=True) + 1e-8).sqrt()
        outputs.append(F.conv2d(image[None], weight, padding=w.shape[-1] // 2))
    return torch.cat(outputs)


@pytest.mark.parametrize("shape", [(1, 6, 9, 7), (3, 6, 9, 7), (3, 6, 40, 30)])
def test_scaling_weights_or_images_agrees_with_the_definition(shape):
    x, w, s = torch.randn(shape), torch.randn(5, 6, 3, 3), torch.randn(shape[0], 6)
    expected = definition(x, w, s)
    for fused in (None, True, False):
        for square in (None, ops.square_weight(w)):
            y = ops.modulated_conv2d_stylegan2(x, w, s, padding=1, fused_modconv=fused, weight_square=square)
            assert relative_error(y, expected) < 1e-5
    with torch.no_grad():
        assert relative_error(ops.modulated_conv2d_stylegan2(x, w, s, padding=1), expected) < 1e-5
        assert relative_error(ops.modulated_conv2d_stylegan3(x, w, s, padding=1), expected) < 1e-5
        square = ops.square_weight(w)
        assert relative_error(ops.modulated_conv2d_stylegan3(x, w, s, True, 1, None, square), expected) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 2])
def test_half_precision_does_not_overflow(dtype, batch):
    x, w, s = torch.randn(batch, 64, 6, 6), torch.randn(5, 64, 3, 3) * 1e3, torch.randn(batch, 64) * 1e5
    x = x.to(dtype)
    expected = definition(x, w, s)
    tolerance = 20 * torch.finfo(dtype).eps  # of sums over 576 rounded products
    for fused in (True, False):
        y = ops.modulated_conv2d_stylegan2(x, w, s, padding=1, fused_modconv=fused)
        assert y.dtype == dtype
        assert relative_error(y, expected) < tolerance
    assert relative_error(ops.modulated_conv2d_stylegan3(x, w, s, padding=1), expected) < tolerance


def test_inputs_are_not_modified():
    x, w, s, noise = torch.randn(2, 4, 5, 5), torch.randn(3, 4, 1, 1), torch.randn(2, 4), torch.randn(5, 5)
    before = [t.clone() for t in (x, w, s, noise)]
    with torch.no_grad():
        ops.modulated_conv2d_stylegan2(x, w, s, noise)
        ops.bias_act(x, act="lrelu", clamp=0.1)
        ops.filtered_lrelu(x, clamp=0.1)
        ops.filtered_lrelu(x, None, torch.ones(2), None, padding=1)
    assert all(torch.equal(now, then) for now, then in zip((x, w, s, noise), before, strict=True))
