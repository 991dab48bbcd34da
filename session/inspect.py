"""Inspectors: the ways to look at a captured feature map, and the settings of each.

The arithmetic of each inspector stands in one file of renderer/inspectors/, registered by the type of its settings.
The Layers panel draws a row for every field declared here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from session.fields import Choice, Range, Record

COLORMAPS = Choice("grey", "viridis", "magma", "cividis")


@dataclass(frozen=True)
class Inspector(Record):
    """Base of every inspector's settings."""

    title: ClassVar[str]  # its name in the window
    spatial: ClassVar[bool] = True  # pixel (x, y) of its image shows pixel (x, y) of the feature map


@dataclass(frozen=True)
class Picture(Inspector):
    """The feature map itself, as an image."""

    title: ClassVar[str] = "Picture"
    gain_db: Annotated[float, Range(-40, 40, "dB"), "Brightens or darkens what is shown: 20 dB is ten times"] = 0.0
    normalize: Annotated[bool, "Divides each channel shown by its largest magnitude"] = False
    colormap: Annotated[str, COLORMAPS, "Colours for a single channel"] = "grey"


@dataclass(frozen=True)
class Spectrum(Inspector):
    """Power over frequency, in dB relative to the mean power."""

    title: ClassVar[str] = "Spectrum"
    spatial: ClassVar[bool] = False
    all_channels: Annotated[bool, "Sums the power of all channels instead of those shown"] = True
    beta: Annotated[float, Range(0, 50), "Kaiser window: higher hides the picture's edges better, and blurs more"] = 8.0
    range_db: Annotated[float, Range(0.1, 100, "dB"), "Power from minus to plus this spans the colours"] = 50.0
    colormap: Annotated[str, COLORMAPS, "Colours of the plane"] = "viridis"


@dataclass(frozen=True)
class Inspect(Record):
    """Which inspector makes the image on screen, and the settings of each: one field an inspector, named in `show`."""

    show: Annotated[str, Choice("picture", "spectrum"), "What is made of the captured map"] = "picture"
    picture: Annotated[Picture, "The map as a picture"] = Picture()
    spectrum: Annotated[Spectrum, "The map's spectrum"] = Spectrum()

    @property
    def chosen(self) -> Inspector:
        """The settings of the inspector that makes the image on screen."""
        return getattr(self, self.show)
