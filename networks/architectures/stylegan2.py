"""The StyleGAN2 generator: a learned constant, doubled block by block, with noise, and pictures out of each block."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from networks.architectures.generator import BaseGenerator
from networks.architectures.layers import Conv2d, FullyConnected, activate
from networks.architectures.layerwise import LayerwiseSynthesis, RunOptions, Step, SynthesisState
from networks.config import StyleGAN2Config
from networks.inference.prepared import PreparedCache, PreparedModulatedConv
from ops import kernels, modulated_conv2d_stylegan2, setup_filter, upsample2d


class Generator(BaseGenerator):
    """A generator with this synthesis network."""

    config: StyleGAN2Config
    synthesis: SynthesisNetwork

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__(config, SynthesisNetwork(config))


class SynthesisNetwork(LayerwiseSynthesis):
    """ws [N, num_ws, w_dim] to pictures. Karras et al. 2020, Figures 2 and 7.

    Architecture `skip` adds up what the ToRGB of every block says; `orig` and `resnet` have one ToRGB, at the end,
    and the blocks of `resnet` have shortcuts. A ToRGB reads the w that the next block's first convolution reads.
    """

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        self.num_ws, self.w_dim = config.num_ws, config.w_dim
        self.block_resolutions = config.block_resolutions
        steps: list[Step] = []
        row = 0
        for resolution in self.block_resolutions:
            block = SynthesisBlock(config, resolution)
            self.add_module(f"b{resolution}", block)
            dtype = torch.float16 if config.uses_fp16(resolution) else torch.float32
            for layer in ("conv0", "conv1", "torgb"):
                if getattr(block, layer) is None:
                    continue
                channels = config.img_channels if layer == "torgb" else config.channels(resolution)
                name = f"b{resolution}.{layer}"
                steps.append(Step(name, len(steps), resolution, channels, resolution, (row,), dtype))
                row += layer != "torgb"
        self.steps = tuple(steps)

    def to_image(self, state: SynthesisState) -> Tensor:
        if state.image is None:
            raise ValueError(f"There is no picture yet after {state.done} of {len(self.steps)} steps.")
        return state.image

    def block(self, resolution: int) -> SynthesisBlock:
        """The block of this resolution."""
        return cast(SynthesisBlock, self.get_submodule(f"b{resolution}"))

    def _advance(self, step: Step, state: SynthesisState | None, ws: Tensor, how: RunOptions) -> SynthesisState:
        block = self.block(step.resolution)
        w = ws[:, step.w_indices[0]]
        if state is None:
            assert block.const is not None
            state = SynthesisState(block.const.unsqueeze(0).expand(ws.shape[0], -1, -1, -1))
        return replace(block.advance(step, state, w, how), done=step.index + 1)


class SynthesisBlock(nn.Module):
    """The layers of one resolution."""

    resample_filter: Tensor

    def __init__(self, config: StyleGAN2Config, resolution: int) -> None:
        super().__init__()
        self.half_channels_last = config.fp16_channels_last
        first, last = resolution == 4, resolution == config.img_resolution
        channels = config.channels(resolution)
        self.register_buffer("resample_filter", setup_filter(config.resample_filter))
        self.const = nn.Parameter(torch.randn(channels, 4, 4)) if first else None
        self.conv0 = None if first else SynthesisLayer(config, config.channels(resolution // 2), resolution, up=2)
        self.conv1 = SynthesisLayer(config, channels, resolution)
        self.torgb = ToRGB(config, channels) if last or config.architecture == "skip" else None
        self.skip = None
        if config.architecture == "resnet" and not first:
            before = config.channels(resolution // 2)
            self.skip = Conv2d(before, channels, 1, bias=False, up=2, resample_filter=config.resample_filter)

    def advance(self, step: Step, state: SynthesisState, w: Tensor, how: RunOptions) -> SynthesisState:
        """Run one layer of this block. Both ways through a resnet block are halved in power before they are added."""
        layer = step.name.rpartition(".")[2]
        gain = 1.0 if self.skip is None else math.sqrt(0.5)
        if layer == "torgb":
            return replace(state, image=self._add_picture(state, w, how.dtype(step.dtype, w.device)))
        x = self._cast(state.x, how.dtype(step.dtype, w.device))
        if layer == "conv0":
            assert self.conv0 is not None
            shortcut = None if self.skip is None else self.skip(x, gain=gain)
            return replace(state, x=self.conv0(x, w, step.name, how), shortcut=shortcut)
        x = self.conv1(x, w, step.name, how, gain=gain)
        if state.shortcut is not None:
            x = state.shortcut + x
        return replace(state, x=x, shortcut=None)

    def _add_picture(self, state: SynthesisState, w: Tensor, dtype: torch.dtype) -> Tensor:
        assert self.torgb is not None
        y = self.torgb(self._cast(state.x, dtype), w).to(torch.float32)
        return y if state.image is None else upsample2d(state.image, self.resample_filter) + y

    def _cast(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        if dtype == torch.float16 and self.half_channels_last:
            return x.to(dtype, memory_format=torch.channels_last)
        return x.to(dtype)


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution (doubling the resolution where `up` is 2), noise, bias, activation."""

    weight: Tensor
    bias: Tensor
    noise_const: Tensor
    noise_strength: Tensor | None
    resample_filter: Tensor

    def __init__(self, config: StyleGAN2Config, in_channels: int, resolution: int, up: int = 1) -> None:
        super().__init__()
        self.up, self.resolution = up, resolution
        self.prepared = PreparedCache(PreparedModulatedConv)
        self.activation, self.conv_clamp = config.activation, config.conv_clamp
        self.fused = config.fused_modconv_default
        channels = config.channels(resolution)
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.register_buffer("resample_filter", setup_filter(config.resample_filter))
        self.weight = nn.Parameter(torch.randn(channels, in_channels, 3, 3))
        self.noise_strength = None
        if config.use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor, name: str, how: RunOptions, gain: float = 1.0) -> Tensor:
        """x [N, in, H, W], w [N, w_dim] -> [N, out, resolution, resolution] in x's dtype; `name` is for the noise."""
        noise = self._noise(x, name, how)
        direct = self.up == 1 and x.device.type == "cpu" and x.dtype == torch.float32
        compiled = direct and kernels.why_not() is None
        planned = self.prepared.get(self) if compiled else None
        if planned is not None:
            x = planned(x, w)
            x = x if noise is None else x.add_(noise)
        else:
            x = self._convolved(x, w, noise)
        return activate(x, self.bias.to(x.dtype), self.activation, gain, self.conv_clamp)

    def _convolved(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        fused = self.fused == "always" or (self.fused == "inference_only" and not self.training)
        return modulated_conv2d_stylegan2(
            x,
            self.weight,
            self.affine(w),
            noise=noise,
            up=self.up,
            padding=1,
            resample_filter=self.resample_filter,
            # Upsampling is written as a true convolution (flipped kernel), the rest as a correlation.
            flip_weight=self.up == 1,
            fused_modconv=None if fused else False,
        )

    def _noise(self, x: Tensor, name: str, how: RunOptions) -> Tensor | None:
        """Constant noise is one map for the whole batch; random noise is drawn for each picture."""
        if self.noise_strength is None or how.noise_mode == "none":
            return None
        if how.noise_mode == "const":
            return self.noise_const * self.noise_strength
        shape = (x.shape[0], 1, self.resolution, self.resolution)
        if how.noise is None:
            return torch.randn(shape, device=x.device) * self.noise_strength
        drawn = how.noise(name, shape)
        if tuple(drawn.shape) != shape:
            raise ValueError(f"The noise for {name} has shape {list(drawn.shape)}, but must be {list(shape)}.")
        return drawn.to(x.device, torch.float32) * self.noise_strength


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours: no demodulation, no noise, no activation."""

    weight: Tensor
    bias: Tensor

    def __init__(self, config: StyleGAN2Config, in_channels: int) -> None:
        super().__init__()
        self.conv_clamp = config.conv_clamp
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(config.img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.img_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, H, W], w [N, w_dim] -> [N, C, H, W] in x's dtype."""
        styles = self.affine(w) * self.weight_gain
        x = modulated_conv2d_stylegan2(x, self.weight, styles, demodulate=False)
        return activate(x, self.bias.to(x.dtype), "linear", 1.0, self.conv_clamp)
