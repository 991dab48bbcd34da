"""A spectrum shows each frequency at its position."""

from __future__ import annotations

import math

import torch

import ops


def wave(size: int, cycles_x: float, cycles_y: float) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.cos(2 * math.pi * (cycles_x * x + cycles_y * y) / size)[None]


def test_a_wave_is_one_peak_at_its_frequency():
    spectrum = ops.power_spectrum(wave(64, 10, -4))
    row, column = divmod(int(spectrum.argmax()), 64)
    assert (abs(column - 32), abs(row - 32)) == (10, 4)
    assert spectrum[32, 32] < spectrum.max() - 60  # the window prevents leakage to zero


def test_mean_and_gain_do_not_change_the_spectrum():
    x = torch.randn(3, 33, 40)
    assert torch.allclose(ops.power_spectrum(x), ops.power_spectrum(x * 7 + 100), atol=0.05)
    assert torch.equal(ops.power_spectrum(torch.zeros(1, 8, 8)), torch.full([8, 8], -120.0))


def test_a_batch_gives_a_spectrum_per_image():
    x = torch.randn(2, 3, 16, 16)
    assert torch.allclose(ops.power_spectrum(x)[1], ops.power_spectrum(x[1]), atol=1e-3)


def test_a_profile_peaks_at_the_waves_frequency_in_cycles_per_image_width():
    frequency, level = ops.radial_profile(ops.power_spectrum(wave(64, 12, 0)))
    assert frequency[level.argmax()] == 12
    assert frequency[-1] == 32
    # The same wave in a map with a margin, two images wide: half as many cycles per image.
    frequency, level = ops.radial_profile(ops.power_spectrum(wave(64, 12, 0)), widths=2)
    assert frequency[level.argmax()] == 6


def test_white_noise_has_a_flat_profile():
    torch.manual_seed(0)
    _, level = ops.radial_profile(ops.power_spectrum(torch.randn(64, 64, 64)))
    assert level[4:].abs().max() < 1
