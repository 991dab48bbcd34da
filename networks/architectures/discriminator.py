"""The StyleGAN2 discriminator, also used by StyleGAN3: scores how real an image looks, given its class if any."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from networks.architectures.layers import Conv2d, FullyConnected
from networks.architectures.mapping import build_mapping
from networks.config import DiscriminatorConfig
from ops import downsample2d, setup_filter


class Discriminator(nn.Module):
    """`D(img, c)`: one logit per image. Karras et al. 2020, Figure 7; class projection: Miyato and Koyama 2018."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.c_dim = config.c_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.block_resolutions = config.block_resolutions
        layers = 0
        for resolution in self.block_resolutions:
            block = DiscriminatorBlock(config, resolution, first_layer=layers)
            self.add_module(f"b{resolution}", block)
            layers += block.num_layers
        self.mapping = build_mapping(config) if config.c_dim > 0 else None
        self.b4 = DiscriminatorEpilogue(config)

    def forward(
        self,
        img: Tensor,
        c: Tensor | None = None,
        force_fp32: bool = False,
        run_block: Callable[..., Any] | None = None,
    ) -> Tensor:
        """img [N, C, H, W] nominally in [-1, 1], c [N, c_dim] or None -> logits [N, 1] float32.

        With minibatch standard deviation an image's logit depends on the others in its group. `run_block(block,
        *inputs)`, if given, runs each block in place of calling it (training passes gradient checkpointing). Raises
        ValueError for shapes that do not match.
        """
        size = self.img_resolution
        if img.ndim != 4 or tuple(img.shape[1:]) != (self.img_channels, size, size):
            raise ValueError(
                f"Pictures have shape {list(img.shape)}, but this network reads "
                f"[N, {self.img_channels}, {size}, {size}]."
            )
        if self.mapping is None and c is not None and c.numel() > 0:
            raise ValueError(f"c has shape {list(c.shape)}, but this network has no classes; leave c out.")
        half = img.device.type == "cuda" and not force_fp32
        x: Tensor | None = None
        image: Tensor | None = img.to(torch.float32)
        for resolution in self.block_resolutions:
            block = cast(DiscriminatorBlock, self.get_submodule(f"b{resolution}"))
            x, image = block(x, image, half) if run_block is None else run_block(block, x, image, half)
        classes = None
        if self.mapping is not None:
            if c is not None and c.shape[0] != img.shape[0]:
                raise ValueError(f"There are {img.shape[0]} pictures, but classes for {c.shape[0]}.")
            classes = self.mapping(None, c)
        return self.b4(x, image, classes)


class DiscriminatorBlock(nn.Module):
    """The layers of one resolution, which they halve. Architecture `skip` also reads the image at each resolution."""

    resample_filter: Tensor

    def __init__(self, config: DiscriminatorConfig, resolution: int, first_layer: int) -> None:
        super().__init__()
        self.architecture = config.architecture
        self.use_fp16 = config.uses_fp16(resolution)
        self.half_channels_last = config.fp16_channels_last
        self.register_buffer("resample_filter", setup_filter(config.resample_filter))
        self.num_layers = 0
        channels, next_channels = config.channels(resolution), config.channels(resolution // 2)

        def conv(in_channels: int, out_channels: int, kernel: int, *, linear: bool = False, down: int = 1) -> Conv2d:
            index = first_layer + self.num_layers
            self.num_layers += 1
            return Conv2d(
                in_channels,
                out_channels,
                kernel,
                bias=not linear,
                activation="linear" if linear else config.activation,
                down=down,
                resample_filter=config.resample_filter,
                conv_clamp=None if linear else config.conv_clamp,
                trainable=index >= config.freeze_layers,
            )

        has_fromrgb = resolution == config.img_resolution or config.architecture == "skip"
        self.fromrgb = conv(config.img_channels, channels, 1) if has_fromrgb else None
        self.conv0 = conv(channels, channels, 3)
        self.conv1 = conv(channels, next_channels, 3, down=2)
        self.skip = conv(channels, next_channels, 1, linear=True, down=2) if config.architecture == "resnet" else None

    def forward(self, x: Tensor | None, img: Tensor | None, half: bool) -> tuple[Tensor, Tensor | None]:
        """x [N, C, H, W] (None in the first block), img [N, img_channels, H, W] -> both at half the resolution.

        The returned image is None unless the architecture is `skip`. `half` allows float16 where the config plans it.
        """
        dtype = torch.float16 if half and self.use_fp16 else torch.float32
        if x is not None:
            x = self._cast(x, dtype)
        if self.fromrgb is not None:
            assert img is not None
            img = self._cast(img, dtype)
            y = self.fromrgb(img)
            x = y if x is None else x + y
            img = downsample2d(img, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        if self.skip is None:
            return self.conv1(self.conv0(x)), img
        shortcut = self.skip(x, gain=math.sqrt(0.5))
        return shortcut + self.conv1(self.conv0(x), gain=math.sqrt(0.5)), img

    def _cast(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        if dtype == torch.float16 and self.half_channels_last:
            return x.to(dtype, memory_format=torch.channels_last)
        return x.to(dtype)


class DiscriminatorEpilogue(nn.Module):
    """The 4x4 block: minibatch standard deviation, convolution, two fully connected layers, one logit."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        channels, act = config.channels(4), config.epilogue_activation
        self.class_dim = config.class_dim
        self.fromrgb = None
        if config.architecture == "skip":
            self.fromrgb = Conv2d(config.img_channels, channels, 1, activation=act)
        self.mbstd = None
        if config.mbstd_num_channels > 0:
            self.mbstd = MinibatchStd(config.mbstd_group_size, config.mbstd_num_channels)
        self.conv = Conv2d(
            channels + config.mbstd_num_channels, channels, 3, activation=act, conv_clamp=config.conv_clamp
        )
        self.fc = FullyConnected(channels * 4 * 4, channels, activation=act)
        self.out = FullyConnected(channels, self.class_dim or 1)

    def forward(self, x: Tensor, img: Tensor | None, classes: Tensor | None) -> Tensor:
        """x [N, C, 4, 4], classes [N, class_dim] or None -> [N, 1] float32."""
        x = x.to(torch.float32)
        if self.fromrgb is not None:
            assert img is not None
            x = x + self.fromrgb(img.to(torch.float32))
        if self.mbstd is not None:
            x = self.mbstd(x)
        x = self.out(self.fc(self.conv(x).flatten(1)))
        if classes is not None:
            x = (x * classes).sum(dim=1, keepdim=True) / math.sqrt(self.class_dim)
        return x


class MinibatchStd(nn.Module):
    """Append the mean standard deviation over a group of images as feature maps. Karras et al. 2018, Section 3."""

    def __init__(self, group_size: int | None, num_channels: int = 1) -> None:
        super().__init__()
        self.group_size, self.num_channels = group_size, num_channels

    def forward(self, x: Tensor) -> Tensor:
        """x [N,C,H,W] -> [N, C + num_channels, H, W]; image i is in group i mod (N / group size).

        Raises ValueError where the batch does not divide into groups.
        """
        batch, channels, height, width = x.shape
        size = batch if self.group_size is None else min(self.group_size, batch)
        if batch % size:
            raise ValueError(f"A batch of {batch} does not divide into groups of {size} for minibatch deviation.")
        grouped = x.reshape(size, batch // size, self.num_channels, channels // self.num_channels, height, width)
        deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=[2, 3, 4])  # [groups, num_channels]
        spread = deviation.repeat(size, 1)[:, :, None, None].expand(-1, -1, height, width)
        return torch.cat([x, spread], dim=1)
