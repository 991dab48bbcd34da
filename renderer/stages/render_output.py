"""A finished picture on its way out of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from renderer.inspectors import InspectorOutput
from renderer.messages import MapStats, ModelInfo, RenderRequest, RenderResult


@dataclass(frozen=True)
class RenderOutput:
    """A picture with what is known about it; fields as in RenderResult."""

    image: InspectorOutput
    model: ModelInfo
    stats: MapStats
    readings: Mapping[str, np.ndarray]
    shown_class: int | None
    timing: Mapping[str, float]
    resumed_at: str
    preview: bool = False

    @property
    def height(self) -> int:
        return self.image.colors.shape[1]

    @property
    def width(self) -> int:
        return self.image.colors.shape[2]

    def write_rgba(self, frame: np.ndarray | Tensor) -> None:
        """Fill a frame, uint8 [height, width, 4], with red, green, blue and opacity; it may be on the GPU."""
        target = torch.from_numpy(frame) if isinstance(frame, np.ndarray) else frame
        colours, opacity = self.image.colors, self.image.opacity
        if colours.device != target.device:
            solid = torch.full_like(colours[0], 255) if opacity is None else opacity
            target.copy_(_copy_to_host(torch.cat([colours, solid.unsqueeze(0)]).permute(1, 2, 0).contiguous()))
            return
        for channel in range(3):  # plane by plane is several times faster than all four at once
            target[:, :, channel].copy_(colours[channel])
        if opacity is None:
            target[:, :, 3].fill_(255)
        else:
            target[:, :, 3].copy_(opacity)

    def to_result(self, request: RenderRequest) -> RenderResult:
        """The answer to a request, but for its frame."""
        return RenderResult(
            view=request.view,
            id=request.id,
            scene=request.scene,
            frame=np.empty((0, 0, 4), np.uint8),
            model=self.model,
            stats=self.stats,
            timing=self.timing,
            readings=self.readings,
            shown_class=self.shown_class,
            resumed_at=self.resumed_at,
            preview=self.preview,
        )


_pinned_buffers: dict[tuple[int, ...], Tensor] = {}


def _copy_to_host(picture: Tensor) -> Tensor:
    """A GPU's picture in main memory, by way of page-locked memory where that can be had; not seen on a GPU yet."""
    if picture.device.type != "cuda":
        return picture.cpu()
    shape = tuple(picture.shape)
    if shape not in _pinned_buffers:
        try:
            pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        except RuntimeError:  # a container may forbid it
            return picture.cpu()
        if len(_pinned_buffers) >= 4:
            _pinned_buffers.clear()
        _pinned_buffers[shape] = pinned
    _pinned_buffers[shape].copy_(picture, non_blocking=True)
    torch.cuda.current_stream(picture.device).synchronize()
    return _pinned_buffers[shape]
