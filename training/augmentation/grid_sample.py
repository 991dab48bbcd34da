"""Bilinear grid sampling with gradients of any order, deterministic if torch is set to be."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(images: Tensor, theta: Tensor, height: int, width: int) -> Tensor:
    """Sample images [N,C,H,W] through affine maps theta [N,2,3] -> [N, C, height, width].

    theta maps (x, y, 1) of an output position to (x, y) of an input position, both in [-1, 1], as in F.affine_grid.
    Outside the image is zero. Only images get gradients; unlike those of F.grid_sample, they can be differentiated
    again, which R1 needs.
    """
    grid = F.affine_grid(theta.to(images.dtype), [len(images), images.shape[1], height, width], align_corners=False)
    return _GridSample.apply(images, grid)


class _GridSample(torch.autograd.Function):
    """Bilinear sampling. It is linear in the images, and its backward is its adjoint."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grid,) = ctx.saved_tensors
        return _GridSampleBackward.apply(grads[0], grid, ctx.shape), None


class _GridSampleBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        if values.device.type != "cpu" and torch.are_deterministic_algorithms_enabled():
            return scatter_deterministic(values, grid, shape)
        images = values.new_zeros(1).expand(shape)  # only its shape is read, as the grid needs no gradient
        grads = torch.ops.aten.grid_sampler_2d_backward(values.contiguous(), images, grid, 0, 0, False, [True, False])
        return grads[0]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grid,) = ctx.saved_tensors
        return _GridSample.apply(grads[0], grid), None, None


def scatter_deterministic(values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
    """Adjoint of bilinear sampling, summed in a fixed order if torch uses deterministic algorithms.

    values [N,C,h,w], grid [N,h,w,2] -> [N,C,H,W]. Slower than torch's, which uses atomic adds on a GPU.
    """
    count, channels, height, width = shape
    x, y = ((grid + 1) * grid.new_tensor([width, height]) - 1).div(2).unbind(dim=3)
    left, top = x.floor(), y.floor()
    total = values.new_zeros(count, channels, height * width)
    image_index = torch.arange(count, device=grid.device)[:, None, None]
    flat = values.permute(0, 2, 3, 1)
    gradient = total.permute(0, 2, 1).contiguous()  # [N, H*W, C]
    for dx in (0, 1):
        for dy in (0, 1):
            px, py = left + dx, top + dy
            weight = (1 - (x - px).abs()) * (1 - (y - py).abs())
            inside = (px >= 0) & (px < width) & (py >= 0) & (py < height)
            index = (py.clamp(0, height - 1) * width + px.clamp(0, width - 1)).long()
            share = flat * (weight * inside)[..., None]
            gradient.index_put_((image_index.expand_as(index), index), share, accumulate=True)
    return gradient.permute(0, 2, 1).reshape(shape)
