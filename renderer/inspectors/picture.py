"""A feature map as an image: three channels as RGB, or one through a colormap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from networks.sampling import to_uint8
from renderer.inspectors.colormaps import apply_colormap
from session import Picture


@dataclass(frozen=True)
class ChannelSelection:
    """A feature map and the channels of it that are shown."""

    feature_map: Tensor  # float32 [C, H, W], all channels
    first: int  # the channels shown are feature_map[first : first + count]
    count: int  # 3 or 1
    coverage: Tensor | None = None  # bool [H, W]: where a transformed image has content; None: everywhere
    width: float = 1.0  # extent in image widths

    @property
    def channels(self) -> Tensor:
        """The channels shown, [count, H, W]."""
        return self.feature_map[self.first : self.first + self.count]


@dataclass(frozen=True)
class InspectorOutput:
    """An image, uint8 [3, H, W], with opacity uint8 [H, W] or None (opaque), and small arrays for plots by name."""

    colors: Tensor
    opacity: Tensor | None = None
    readings: Mapping[str, np.ndarray] = field(default_factory=dict)


def show(settings: Picture, selection: ChannelSelection) -> InspectorOutput:
    """Normalize (optional), apply the gain, and map [-1, 1] to black..white, or to the colormap's range."""
    values = selection.channels
    if settings.normalize:
        max_abs = values.abs().amax(dim=(1, 2), keepdim=True)
        values = values / torch.where(max_abs > 0, max_abs, 1)
    if settings.gain_db:
        values = values * 10 ** (settings.gain_db / 20)
    if selection.count == 1 and settings.colormap != "grey":
        colors = apply_colormap((values[0] + 1) / 2, settings.colormap)
    else:
        colors = to_uint8(values.nan_to_num(0)).expand(3, -1, -1)
    opacity = None if selection.coverage is None else selection.coverage.to(torch.uint8) * 255
    return InspectorOutput(colors, opacity)
