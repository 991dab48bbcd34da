"""The StyleGAN2 generator: a learned 4x4 constant, upsampled block by block with noise; each block can output RGB."""

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
    """ws [N, num_ws, w_dim] to images. Karras et al. 2020, Figures 2 and 7.

    Architecture `skip` sums the upsampled outputs of a ToRGB per block; `orig` and `resnet` have one ToRGB, at the
    end, and the blocks of `resnet` have shortcuts. A ToRGB reads the same w as the next block's first convolution.
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
        """Return the block of this resolution."""
        return cast(SynthesisBlock, self.get_submodule(f"b{resolution}"))

    def _advance(self, step: Step, state: SynthesisState | None, ws: Tensor, options: RunOptions) -> SynthesisState:
        block = self.block(step.resolution)
        w = ws[:, step.w_indices[0]]
        if state is None:
            assert block.const is not None
            state = SynthesisState(block.const.unsqueeze(0).expand(ws.shape[0], -1, -1, -1))
        return replace(block.advance(step, state, w, options), done=step.index + 1)


class SynthesisBlock(nn.Module):
    """The layers of one resolution: one or two convolutions, a ToRGB, and in `resnet` a shortcut."""

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
            in_channels = config.channels(resolution // 2)
            self.skip = Conv2d(in_channels, channels, 1, bias=False, up=2, resample_filter=config.resample_filter)

    def advance(self, step: Step, state: SynthesisState, w: Tensor, options: RunOptions) -> SynthesisState:
        """Run one layer of this block. In `resnet`, shortcut and main path are scaled by sqrt(1/2) and added."""
        layer = step.name.rpartition(".")[2]
        gain = 1.0 if self.skip is None else math.sqrt(0.5)
        if layer == "torgb":
            return replace(state, image=self._accumulate_image(state, w, options.dtype(step.dtype, w.device)))
        x = self._cast(state.x, options.dtype(step.dtype, w.device))
        if layer == "conv0":
            assert self.conv0 is not None
            shortcut = None if self.skip is None else self.skip(x, gain=gain)
            return replace(state, x=self.conv0(x, w, step.name, options), shortcut=shortcut)
        x = self.conv1(x, w, step.name, options, gain=gain)
        if state.shortcut is not None:
            x = state.shortcut + x
        return replace(state, x=x, shortcut=None)

    def _accumulate_image(self, state: SynthesisState, w: Tensor, dtype: torch.dtype) -> Tensor:
        assert self.torgb is not None
        y = self.torgb(self._cast(state.x, dtype), w).to(torch.float32)
        return y if state.image is None else upsample2d(state.image, self.resample_filter) + y

    def _cast(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        if dtype == torch.float16 and self.half_channels_last:
            return x.to(dtype, memory_format=torch.channels_last)
        return x.to(dtype)


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution (with upsampling if `up` is 2), noise, bias, activation."""

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

    def forward(self, x: Tensor, w: Tensor, name: str, options: RunOptions, gain: float = 1.0) -> Tensor:
        """x [N, in, H, W], w [N, w_dim] -> [N, out, resolution, resolution] in x's dtype.

        `name` identifies the layer to `options.noise`. Raises ValueError for noise of another shape.
        """
        noise = self._noise(x, name, options)
        supported = self.up == 1 and x.device.type == "cpu" and x.dtype == torch.float32
        compiled = supported and kernels.unavailable_reason() is None
        prepared = self.prepared.get(self) if compiled else None
        if prepared is not None:
            x = prepared(x, w)
            x = x if noise is None else x.add_(noise)
        else:
            x = self._convolve(x, w, noise)
        return activate(x, self.bias.to(x.dtype), self.activation, gain, self.conv_clamp)

    def _convolve(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        fused = self.fused == "always" or (self.fused == "inference_only" and not self.training)
        return modulated_conv2d_stylegan2(
            x,
            self.weight,
            self.affine(w),
            noise=noise,
            up=self.up,
            padding=1,
            resample_filter=self.resample_filter,
            # The published layers upsample by a true convolution (flipped kernel); all others are correlations.
            flip_weight=self.up == 1,
            fused_modconv=None if fused else False,
        )

    def _noise(self, x: Tensor, name: str, options: RunOptions) -> Tensor | None:
        """Return the scaled noise: [H, W] if constant, [N, 1, H, W] if random, None if there is none."""
        if self.noise_strength is None or options.noise_mode == "none":
            return None
        if options.noise_mode == "const":
            return self.noise_const * self.noise_strength
        shape = (x.shape[0], 1, self.resolution, self.resolution)
        if options.noise is None:
            return torch.randn(shape, device=x.device) * self.noise_strength
        drawn = options.noise(name, shape)
        if tuple(drawn.shape) != shape:
            raise ValueError(f"The noise for {name} has shape {list(drawn.shape)}, but must be {list(shape)}.")
        return drawn.to(x.device, torch.float32) * self.noise_strength


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to image channels: no demodulation, no noise, no activation."""

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
