"""A feature map's power over frequency: the plane in colours, and averaged over all directions as a line."""

from __future__ import annotations

import numpy as np

from ops.spectrum import power_spectrum, radial_profile
from renderer.inspectors.colormaps import apply_colormap
from renderer.inspectors.picture import ChannelSelection, InspectorOutput
from session import Spectrum

MAX_PROFILE_POINTS = 2048  # points of the line, so that readings stay small


def show(settings: Spectrum, look: ChannelSelection) -> InspectorOutput:
    """The plane in dB over the mean power, -range to +range over the colour scale; zero frequency in the middle.

    Readings: `frequency` [K] in cycles per image width, `power_db` [K] the mean power around a circle; `plane_db` [2]
    the least and the greatest of the plane; `nyquist` [1] the highest frequency of the map.
    """
    plane = power_spectrum(look.feature_map if settings.all_channels else look.channels, settings.beta)
    frequency, power = (
        line[:MAX_PROFILE_POINTS].cpu().numpy().astype(np.float32) for line in radial_profile(plane, look.width)
    )
    low, high = plane.aminmax()
    readings = {
        "frequency": frequency,
        "power_db": power,
        "plane_db": np.array([float(low), float(high)], np.float32),
        "nyquist": np.array([plane.shape[-1] / 2 / look.width], np.float32),
    }
    return InspectorOutput(apply_colormap(plane / (2 * settings.range_db) + 0.5, settings.colormap), None, readings)
