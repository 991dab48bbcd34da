"""The wavelets of augmentation: a filter that resamples without loss, and one that splits a picture in bands."""

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
    """[12] low-pass for raising and lowering the sampling rate by two, sum 1."""
    taps = np.array(SYM6)
    return taps / taps.sum()


@cache
def filter_bank() -> np.ndarray:
    """[4, 43] zero-phase filters, low to high, that sum to one tap: Karras et al. 2020 (ADA), Appendix B.

    Each level splits the lowest band by a wavelet's power response (the filter with its own mirror image); level k is
    the first with its taps spread 2^k apart.
    """
    low = np.array(SYM2)
    high = low[::-1] * (-1.0) ** np.arange(len(low))
    low_power = np.convolve(low, low[::-1]) / 2
    high_power = np.convolve(high, high[::-1]) / 2
    below = np.ones(1)  # what is left of the spectrum at this level
    bands: list[np.ndarray] = []
    for level in range(BANDS - 1):
        bands.append(np.convolve(below, spread(high_power, 2**level)))
        below = np.convolve(below, spread(low_power, 2**level))
    bands.append(below)
    length = len(below)
    centred = [np.pad(band, (length - len(band)) // 2) for band in bands]
    return np.stack(centred[::-1])


def spread(taps: np.ndarray, step: int) -> np.ndarray:
    """The taps with zeros between them."""
    wide = np.zeros((len(taps) - 1) * step + 1)
    wide[::step] = taps
    return wide
