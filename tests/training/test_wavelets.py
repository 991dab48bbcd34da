"""The wavelet filters agree with the published pipeline's numbers."""

from __future__ import annotations

import numpy as np
from recorded import DATA

from training.augmentation.wavelets import filter_bank, resampling_filter

NUMBERS = np.load(DATA / "augment" / "augment.npz")


def test_the_wavelets_are_the_published_ones() -> None:
    np.testing.assert_allclose(resampling_filter(), NUMBERS["Hz_geom"], atol=1e-7)
    np.testing.assert_allclose(filter_bank(), NUMBERS["Hz_fbank"], atol=1e-7)
    np.testing.assert_allclose(filter_bank().sum(axis=0), np.eye(43)[21], atol=1e-9)
