"""Ways to look at a feature map: each turns it into a picture and readings; registered by its settings' type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from renderer.inspectors import picture, spectrum
from renderer.inspectors.picture import ChannelSelection, InspectorOutput
from session import Inspect, Picture, Spectrum

__all__ = ["ChannelSelection", "InspectorOutput", "inspect"]

_INSPECTORS: dict[type, Callable[[Any, ChannelSelection], InspectorOutput]] = {
    Picture: picture.show,
    Spectrum: spectrum.show,
}


def inspect(settings: Inspect, look: ChannelSelection) -> InspectorOutput:
    """What the chosen inspector makes of a captured map."""
    return _INSPECTORS[type(settings.chosen)](settings.chosen, look)
