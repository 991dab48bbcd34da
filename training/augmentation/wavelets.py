"""Wavelet filters of augmentation: a resampling filter, and a filter bank of frequency bands."""

from __future__ import annotations

from functools import cache

import numpy as np

# Symlets of 6 and 2 vanishing moments, low-pass, as tabulated (Daubechies, Ten Lectures on Wavelets, 1992).
# fmt: off
SYM6 = (0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
        0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
        0.0017677118642428036, -0.007800708325034148)
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
# fmt: on
BANDS = 4


@cache
def resampling_filter() -> np.ndarray:
    """Return the low-pass filter [12] for up- and downsampling by 2, sum 1."""
    taps = np.array(SYM6)
    return taps / taps.sum()


@cache
def filter_bank() -> np.ndarray:
    """Return zero-phase band filters [4, 43], low to high, whose sum is a unit impulse.

    Karras et al. 2020 (ADA), Appendix B. Each level splits the lowest band by a wavelet's power response (the filter's
    autocorrelation); level k has the taps of level 0, upsampled by 2^k.
    """
    low = np.array(SYM2)
    high = low[::-1] * (-1.0) ** np.arange(len(low))
    low_power = np.convolve(low, low[::-1]) / 2
    high_power = np.convolve(high, high[::-1]) / 2
    lowest_band = np.ones(1)  # remaining low-pass band at this level
    bands: list[np.ndarray] = []
    for level in range(BANDS - 1):
        bands.append(np.convolve(lowest_band, upsample_zeros(high_power, 2**level)))
        lowest_band = np.convolve(lowest_band, upsample_zeros(low_power, 2**level))
    bands.append(lowest_band)
    length = len(lowest_band)
    centered = [np.pad(band, (length - len(band)) // 2) for band in bands]
    return np.stack(centered[::-1])


def upsample_zeros(taps: np.ndarray, step: int) -> np.ndarray:
    """Insert step - 1 zeros between taps."""
    upsampled = np.zeros((len(taps) - 1) * step + 1)
    upsampled[::step] = taps
    return upsampled
