"""The output of a render, and how it is written into a frame."""

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
    """A rendered image with its metadata; fields as in RenderResult."""

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
        """Write the image into a frame, uint8 [height, width, 4] RGBA, in main or GPU memory."""
        target = torch.from_numpy(frame) if isinstance(frame, np.ndarray) else frame
        colors, opacity = self.image.colors, self.image.opacity
        if colors.device != target.device:
            alpha = torch.full_like(colors[0], 255) if opacity is None else opacity
            target.copy_(_copy_to_host(torch.cat([colors, alpha.unsqueeze(0)]).permute(1, 2, 0).contiguous()))
            return
        for channel in range(3):  # channel by channel is several times faster than one permuted copy
            target[:, :, channel].copy_(colors[channel])
        if opacity is None:
            target[:, :, 3].fill_(255)
        else:
            target[:, :, 3].copy_(opacity)

    def to_result(self, request: RenderRequest) -> RenderResult:
        """Return the answer to a request, without its frame."""
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


def _copy_to_host(image: Tensor) -> Tensor:
    """Copy an image from GPU to main memory, through pinned memory if available. Not yet run on a GPU."""
    if image.device.type != "cuda":
        return image.cpu()
    shape = tuple(image.shape)
    if shape not in _pinned_buffers:
        try:
            pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        except RuntimeError:  # e.g. forbidden in a container
            return image.cpu()
        if len(_pinned_buffers) >= 4:
            _pinned_buffers.clear()
        _pinned_buffers[shape] = pinned
    _pinned_buffers[shape].copy_(image, non_blocking=True)
    torch.cuda.current_stream(image.device).synchronize()
    return _pinned_buffers[shape]
