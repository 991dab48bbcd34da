"""Power spectrum of a feature map, and its radial average."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FLOOR = 1e-12  # relative to the mean power: -120 dB


def power_spectrum(x: Tensor, beta: float = 8.0) -> Tensor:
    """Compute the power spectrum in decibels relative to the mean power: [C,H,W] -> [H,W], [N,C,H,W] -> [N,H,W].

    The mean of each channel is removed and a separable Kaiser window of this `beta` applied (it keeps the map's edges
    from leaking into all frequencies); the powers of the channels are summed. Zero frequency is at [H // 2, W // 2];
    the lowest value is -120 dB. Raises ValueError for another shape.
    """
    if x.ndim not in (3, 4) or x.numel() == 0:
        raise ValueError(f"power_spectrum needs a feature map [C,H,W] or [N,C,H,W], not {list(x.shape)}.")
    x = x if x.dtype == torch.float64 else x.float()
    height, width = x.shape[-2:]
    window = np.outer(np.kaiser(height, beta), np.kaiser(width, beta))
    x = (x - x.mean([-2, -1], keepdim=True)) * torch.from_numpy(window).to(x.device, x.dtype)
    power = torch.fft.fft2(x).abs().square().sum(-3)
    power = torch.fft.fftshift(power, dim=[-2, -1])
    mean = power.mean([-2, -1], keepdim=True)
    return 10 * torch.log10((power / mean.clamp_min(torch.finfo(x.dtype).tiny)).clamp_min(FLOOR))


def radial_profile(spectrum: Tensor, widths: float = 1.0) -> tuple[Tensor, Tensor]:
    """Average a spectrum [H,W] in decibels over all directions: frequencies [K], levels [K] in decibels.

    Frequencies are in cycles per image width; `widths` is the map's width in image widths (more than 1 if it has a
    margin). Bins are one cycle per map width wide and end at the Nyquist frequency. The average is over
    powers, not decibels. Raises ValueError for another shape.
    """
    if spectrum.ndim != 2 or widths <= 0:
        raise ValueError(f"radial_profile needs a spectrum [H,W] and widths > 0, not {list(spectrum.shape)}.")
    height, width = spectrum.shape
    frequency_x = torch.arange(width, device=spectrum.device) - width // 2
    frequency_y = (torch.arange(height, device=spectrum.device) - height // 2) * (width / height)
    ring = torch.hypot(frequency_x[None, :].float(), frequency_y[:, None].float()).round().long()
    count = width // 2 + 1
    ring = ring.clamp_max(count).flatten()
    power = 10 ** (spectrum.flatten() / 10)
    total = power.new_zeros(count + 1).scatter_add_(0, ring, power)[:count]
    samples = power.new_zeros(count + 1).scatter_add_(0, ring, torch.ones_like(power))[:count]
    level = 10 * torch.log10((total / samples.clamp_min(1)).clamp_min(FLOOR))
    return torch.arange(count, device=spectrum.device) / widths, level
