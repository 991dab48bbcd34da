"""Reading pictures between their pixels (bilinear), with any number of gradients and the same bits on every run."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(images: Tensor, theta: Tensor, height: int, width: int) -> Tensor:
    """Each picture [N,C,H,W] as seen through its affine map theta [N,2,3] -> [N, C, height, width].

    theta takes a place of the result to the place that it shows, both from -1 to 1 across their pictures, x first.
    Beyond the picture there is zero. Gradients go to the pictures only, and can be differentiated again (which
    torch's own grid_sample cannot; R1 needs it).
    """
    grid = F.affine_grid(theta.to(images.dtype), [len(images), images.shape[1], height, width], align_corners=False)
    return _Read.apply(images, grid)


class _Read(torch.autograd.Function):
    """Linear in the pictures; its adjoint spreads each value over the four pixels it was read from."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grid,) = ctx.saved_tensors
        return _Spread.apply(grads[0], grid, ctx.shape), None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        if values.device.type != "cpu" and torch.are_deterministic_algorithms_enabled():
            return spread_in_order(values, grid, shape)
        nowhere = values.new_zeros(1).expand(shape)  # only its size is read when no gradient of the grid is asked for
        return torch.ops.aten.grid_sampler_2d_backward(values.contiguous(), nowhere, grid, 0, 0, False, [True, False])[
            0
        ]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grid,) = ctx.saved_tensors
        return _Read.apply(grads[0], grid), None, None


def spread_in_order(values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
    """The adjoint of bilinear reading, summed in a fixed order where torch is told to be deterministic.

    values [N,C,h,w], grid [N,h,w,2] -> [N,C,H,W]. Slower than torch's own, which adds in any order on a GPU.
    """
    count, channels, height, width = shape
    x, y = ((grid + 1) * grid.new_tensor([width, height]) - 1).div(2).unbind(dim=3)
    left, top = x.floor(), y.floor()
    total = values.new_zeros(count, channels, height * width)
    picture = torch.arange(count, device=grid.device)[:, None, None]
    flat = values.permute(0, 2, 3, 1)
    spread = total.permute(0, 2, 1).contiguous()  # [N, H*W, C]
    for dx in (0, 1):
        for dy in (0, 1):
            px, py = left + dx, top + dy
            weight = (1 - (x - px).abs()) * (1 - (y - py).abs())
            inside = (px >= 0) & (px < width) & (py >= 0) & (py < height)
            index = (py.clamp(0, height - 1) * width + px.clamp(0, width - 1)).long()
            share = flat * (weight * inside)[..., None]
            spread.index_put_((picture.expand_as(index), index), share, accumulate=True)
    return spread.permute(0, 2, 1).reshape(shape)
