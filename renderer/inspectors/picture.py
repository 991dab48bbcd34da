"""A feature map as a picture: three channels as colours, or one through a colour scale."""

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
    """What there is to look at."""

    feature_map: Tensor  # [C, H, W] float32, the captured map
    first: int  # the channels shown are whole[first:first + count]
    count: int  # 3 or 1
    coverage: Tensor | None = None  # bool [H, W]: where a moved picture has pixels; None: everywhere
    width: float = 1.0  # image widths that the map spans

    @property
    def channels(self) -> Tensor:
        """The channels shown, [count, H, W]."""
        return self.feature_map[self.first : self.first + self.count]


@dataclass(frozen=True)
class InspectorOutput:
    """A picture, uint8 [3, H, W] with a plane of opacity [H, W] or None, and small named arrays for plots."""

    colors: Tensor
    opacity: Tensor | None = None
    readings: Mapping[str, np.ndarray] = field(default_factory=dict)


def show(settings: Picture, look: ChannelSelection) -> InspectorOutput:
    """Channels -> normalised, where wished -> gain -> bytes: -1 is black (or the scale's low end), 1 is white."""
    chosen = look.channels
    if settings.normalize:
        largest = chosen.abs().amax(dim=(1, 2), keepdim=True)
        chosen = chosen / torch.where(largest > 0, largest, 1)
    if settings.gain_db:
        chosen = chosen * 10 ** (settings.gain_db / 20)
    if look.count == 1 and settings.colormap != "grey":
        colours = apply_colormap((chosen[0] + 1) / 2, settings.colormap)
    else:
        colours = to_uint8(chosen.nan_to_num(0)).expand(3, -1, -1)
    opacity = None if look.coverage is None else look.coverage.to(torch.uint8) * 255
    return InspectorOutput(colours, opacity)
