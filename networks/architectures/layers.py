"""Layers shared by several networks: fully connected, convolution, and the normalization of latents."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ops import ACTIVATIONS, bias_act, conv2d_resample, setup_filter


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale each row of x [N, features] to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """x [N, in] -> activation(x @ weight.T + bias) [N, out], with equalized learning rate.

    The parameter is initialized with standard deviation `weight_init / lr_multiplier` and multiplied by
    lr_multiplier / sqrt(in) when used, so that Adam's step is equally large for all layers (Karras et al. 2018,
    Section 4.1).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        weight_init: float = 1.0,
        bias_init: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) * (weight_init / lr_multiplier))
        self.bias = nn.Parameter(torch.as_tensor(bias_init, dtype=torch.float32).expand(out_features).clone())
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.weight_gain).to(x.dtype)
        bias = (self.bias * self.bias_gain if self.bias_gain != 1 else self.bias).to(x.dtype)
        if self.activation == "linear":
            return nn.functional.linear(x, weight, bias)
        return bias_act(nn.functional.linear(x, weight), bias, act=self.activation)


class Conv2d(nn.Module):
    """Unmodulated convolution with resampling, bias, activation and clamp: [N, I, H, W] -> [N, O, H', W'].

    H' = H * up / down. `trainable=False` registers weight and bias as buffers: files of Freeze-D trainings store
    frozen layers so.
    """

    resample_filter: Tensor
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        self.activation, self.up, self.down, self.conv_clamp = activation, up, down, conv_clamp
        self.padding = kernel_size // 2
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        values = {"weight": torch.randn(out_channels, in_channels, kernel_size, kernel_size)}
        values["bias"] = torch.zeros(out_channels)
        for name, value in values.items():
            if name == "bias" and not bias:
                self.register_parameter(name, None)
            elif trainable:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """x [N, I, H, W] -> [N, O, H', W'] in x's dtype. `gain` scales the output and the clamp."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        # The published layers upsample by a true convolution (flipped kernel); all others are correlations.
        x = conv2d_resample(
            x,
            weight,
            f=self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.padding,
            flip_weight=self.up == 1,
        )
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return activate(x, bias, self.activation, gain, self.conv_clamp)


def activate(x: Tensor, bias: Tensor | None, activation: str, gain: float, clamp: float | None) -> Tensor:
    """Add the bias, apply the activation with its default gain times `gain`, and clamp to +-(clamp * gain)."""
    total_gain = ACTIVATIONS[activation].gain * gain
    return bias_act(x, bias, act=activation, gain=total_gain, clamp=None if clamp is None else clamp * gain)
