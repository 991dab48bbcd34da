"""Gain, normalization, colormaps and spectra."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from networks.sampling import to_uint8
from renderer.inspectors import ChannelSelection, inspect
from renderer.inspectors.colormaps import apply_colormap
from session import Inspect, Picture, Spectrum


def test_gain_and_normalization_act_on_what_is_shown() -> None:
    values = torch.stack([torch.linspace(-0.1, 0.1, 64).reshape(8, 8), torch.full((8, 8), 0.0)])
    look = ChannelSelection(values, 0, 1)
    louder = inspect(Inspect(picture=Picture(gain_db=20)), look).colors
    assert torch.equal(louder[0], to_uint8(values[0] * 10))
    whole = inspect(Inspect(picture=Picture(normalize=True)), look).colors
    assert (int(whole.min()), int(whole.max())) == (0, 255)
    silent = inspect(Inspect(picture=Picture(normalize=True)), ChannelSelection(values, 1, 1)).colors
    assert (silent == 128).all()


def test_colormaps_begin_and_end_as_published() -> None:
    ends = torch.tensor([[0.0, 1.0, math.nan, -5.0, 5.0]])
    for name, low, high in (
        ("viridis", "440154", "fde725"),
        ("magma", "000004", "fcfdbf"),
        ("cividis", "00224e", "fee838"),
        ("grey", "000000", "ffffff"),
    ):
        painted = [bytes(color).hex() for color in apply_colormap(ends, name)[:, 0].T.tolist()]
        assert painted == [low, high, low, low, high]


def test_a_waves_frequency_stands_in_cycles_per_image_width() -> None:
    size, widths, cycles = 48, 1.5, 8  # a map with a margin: 1.5 image widths across, 8 cycles a width
    across = torch.arange(size) / size * widths
    wave = torch.sin(2 * math.pi * cycles * across).expand(1, size, size)
    seen = inspect(Inspect("spectrum"), ChannelSelection(wave, 0, 1, width=widths))
    frequency, power = seen.readings["frequency"], seen.readings["power_db"]
    assert abs(frequency[power.argmax()] - cycles) <= 1 / widths
    assert float(seen.readings["nyquist"][0]) == pytest.approx(16)
    assert power[(frequency > 12)].max() < power.max() - 40
    assert seen.colors.shape == (3, size, size)


def test_the_spectrum_is_of_all_channels_or_of_those_shown() -> None:
    torch.manual_seed(0)
    noise = torch.randn(6, 32, 32)
    for everything, channels in ((True, noise), (False, noise[2:5])):
        settings = Inspect("spectrum", spectrum=Spectrum(all_channels=everything))
        alone = inspect(settings, ChannelSelection(channels, 0, 3)).readings["power_db"]
        assert np.array_equal(inspect(settings, ChannelSelection(noise, 2, 3)).readings["power_db"], alone)
