"""The power spectrum of a feature map: in 2D as an image, and as a radial profile."""

from __future__ import annotations

import numpy as np

from ops.spectrum import power_spectrum, radial_profile
from renderer.inspectors.colormaps import apply_colormap
from renderer.inspectors.picture import ChannelSelection, InspectorOutput
from session import Spectrum

MAX_PROFILE_POINTS = 2048  # keeps the readings small


def show(settings: Spectrum, selection: ChannelSelection) -> InspectorOutput:
    """Show the 2D spectrum in dB over the mean power, -range_db to +range_db, with zero frequency in the center.

    Readings: `frequency` [K] in cycles per image width; `power_db` [K], the mean power at that radius; `plane_db` [2],
    minimum and maximum of the 2D spectrum; `nyquist` [1], the Nyquist frequency of the map.
    """
    plane = power_spectrum(selection.feature_map if settings.all_channels else selection.channels, settings.beta)
    frequency, power = (
        line[:MAX_PROFILE_POINTS].cpu().numpy().astype(np.float32) for line in radial_profile(plane, selection.width)
    )
    low, high = plane.aminmax()
    readings = {
        "frequency": frequency,
        "power_db": power,
        "plane_db": np.array([float(low), float(high)], np.float32),
        "nyquist": np.array([plane.shape[-1] / 2 / selection.width], np.float32),
    }
    return InspectorOutput(apply_colormap(plane / (2 * settings.range_db) + 0.5, settings.colormap), None, readings)
