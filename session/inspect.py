"""How a captured feature map is looked at: the settings of every inspector.

The arithmetic of each stands in one file of renderer/inspectors/, registered by the settings' type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from session.fields import Choice, Part, Range

COLORMAPS = Choice("grey", "viridis", "magma", "cividis")


@dataclass(frozen=True)
class Picture(Part):
    """The map itself, as a picture."""

    gain_db: Annotated[float, Range(-40, 40, "dB"), "Brightens or darkens what is shown: 20 dB is ten times"] = 0.0
    normalize: Annotated[bool, "Divides each channel shown by its largest magnitude"] = False
    colormap: Annotated[str, COLORMAPS, "Colours for a single channel"] = "grey"


@dataclass(frozen=True)
class Spectrum(Part):
    """Its power over frequency, in dB around the mean power."""

    all_channels: Annotated[bool, "Sums the power of all channels instead of those shown"] = True
    beta: Annotated[float, Range(0, 50), "Kaiser window: higher hides the picture's edges better, and blurs more"] = 8.0
    range_db: Annotated[float, Range(0.1, 100, "dB"), "Power from minus to plus this spans the colours"] = 50.0
    colormap: Annotated[str, COLORMAPS, "Colours of the plane"] = "viridis"


@dataclass(frozen=True)
class Inspect(Part):
    """Which inspector makes the picture on screen, and the settings of each."""

    show: Annotated[str, Choice("picture", "spectrum"), "What is made of the captured map"] = "picture"
    picture: Annotated[Picture, "The map as a picture"] = Picture()
    spectrum: Annotated[Spectrum, "The map's spectrum"] = Spectrum()
