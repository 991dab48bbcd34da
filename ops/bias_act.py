"""Bias, activation function, gain and clamp: the pointwise end of a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from ops import backends


@dataclass(frozen=True)
class Activation:
    """An activation function of (x, alpha), with its default alpha and gain."""

    apply: Callable[[Tensor, float], Tensor]
    alpha: float = 0.0
    gain: float = 1.0


# The gains preserve the variance of a normally distributed signal, as published with StyleGAN2.
ACTIVATIONS = {
    "linear": Activation(lambda x, alpha: x),
    "relu": Activation(lambda x, alpha: F.relu(x), gain=sqrt(2)),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), alpha=0.2, gain=sqrt(2)),
    "tanh": Activation(lambda x, alpha: torch.tanh(x)),
    "sigmoid": Activation(lambda x, alpha: torch.sigmoid(x)),
    "elu": Activation(lambda x, alpha: F.elu(x)),
    "selu": Activation(lambda x, alpha: F.selu(x)),
    "softplus": Activation(lambda x, alpha: F.softplus(x)),
    "swish": Activation(lambda x, alpha: F.silu(x), gain=sqrt(2)),
}


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Compute clamp(gain * act(x + b)) as a new tensor of x's shape and dtype.

    x of any shape, b [x.shape[dim]]; `act` is linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus or swish;
    `alpha` (lrelu's slope) and `gain` default to the activation's own; `clamp` limits the absolute value.
    Raises ValueError for an unknown activation, a bias that does not fit, or a negative clamp.
    """
    if act not in ACTIVATIONS:
        raise ValueError(f"There is no activation {act!r}; choose one of {', '.join(ACTIVATIONS)}.")
    if clamp is not None and clamp < 0:
        raise ValueError(f"clamp must be 0 or more, or None, not {clamp}.")
    activation = ACTIVATIONS[act]
    alpha = activation.alpha if alpha is None else alpha
    gain = activation.gain if gain is None else gain
    if b is not None and (not -x.ndim <= dim < x.ndim or b.shape != (x.shape[dim],)):
        raise ValueError(f"A bias of shape {list(b.shape)} does not fit dimension {dim} of {list(x.shape)}.")
    differentiable = x.requires_grad or (b is not None and b.requires_grad)
    if not (torch.is_grad_enabled() and differentiable):
        return backends.select("bias_act", x)(x, b, dim, act, alpha, gain, clamp)
    y = activation.apply(_add_bias(x, b, dim), alpha)
    if gain != 1:
        y = y * gain
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    return y.clone() if y is x else y


def _add_bias(x: Tensor, b: Tensor | None, dim: int) -> Tensor:
    if b is None:
        return x
    shape = [1] * x.ndim
    shape[dim] = -1
    return x + b.to(x.dtype).reshape(shape)


def bias_act_torch(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    """Compute `bias_act` in plain torch without gradients, in place where the function allows."""
    y = _add_bias(x, b, dim)
    y = x.clone() if y is x else y
    activation = ACTIVATIONS[act]
    if act == "lrelu":
        F.leaky_relu_(y, alpha)
    else:
        y = activation.apply(y, alpha)
    if gain != 1:
        y.mul_(gain)
    if clamp is not None:
        y.clamp_(-clamp, clamp)
    return y


backends.register("bias_act", backends.Implementation("plain torch", bias_act_torch))
