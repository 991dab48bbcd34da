"""Inspectors: each turns a feature map into an image and readings; registered by the type of its settings."""

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


def inspect(settings: Inspect, selection: ChannelSelection) -> InspectorOutput:
    """Run the inspector that the settings choose."""
    return _INSPECTORS[type(settings.chosen)](settings.chosen, selection)
