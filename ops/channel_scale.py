"""Multiply each channel by its own scale, as styles do; differentiable any number of times."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ops import backends


def scale_channels(x: Tensor, s: Tensor) -> Tensor:
    """Multiply x [N,C,H,W] by s [N,C] of the same dtype; any number of derivatives."""
    return _ScaleChannels.apply(x, s)


class _ScaleChannels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor) -> Tensor:
        ctx.save_for_backward(x, s)
        return backends.select("scale_channels", x)(x, s)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, s = ctx.saved_tensors
        (grad,) = grads
        return (
            _ScaleChannels.apply(grad, s) if ctx.needs_input_grad[0] else None,
            _DotChannels.apply(grad, x) if ctx.needs_input_grad[1] else None,
        )


class _DotChannels(torch.autograd.Function):
    """Sum x * y, both [N,C,H,W], over the pixels: [N,C]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return backends.select("dot_channels", x)(x, y)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, y = ctx.saved_tensors
        (grad,) = grads
        return (
            _ScaleChannels.apply(y, grad) if ctx.needs_input_grad[0] else None,
            _ScaleChannels.apply(x, grad) if ctx.needs_input_grad[1] else None,
        )


def scale_channels_torch(x: Tensor, s: Tensor) -> Tensor:
    return x * s[:, :, None, None]


def dot_channels_torch(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum([2, 3])


backends.register("scale_channels", backends.Implementation("plain torch", scale_channels_torch))
backends.register("dot_channels", backends.Implementation("plain torch", dot_channels_torch))
