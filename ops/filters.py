"""Low-pass filters: prepare a given one, or design those of StyleGAN3 (Kaiser window, radial jinc)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

FilterLike = Tensor | Sequence[float] | Sequence[Sequence[float]] | np.ndarray | float | None


def setup_filter(
    f: FilterLike,
    device: torch.device | str | None = None,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1,
    separable: bool | None = None,
) -> Tensor:
    """Prepare a filter for `upfirdn2d`: a float32 tensor [taps] (separable) or [height, width].

    `None` and a number are a single tap. `normalize` makes the sum 1; `gain` is that of filtering along both axes. A
    one-dimensional filter of fewer than 8 taps becomes two-dimensional unless `separable` says otherwise: the
    published default, which checkpoints depend on. Raises ValueError for an empty filter, one of more than two
    dimensions, or a two-dimensional one with `separable`.
    """
    taps = torch.as_tensor(1.0 if f is None else f, dtype=torch.float32)
    if taps.ndim > 2 or taps.numel() == 0:
        raise ValueError(f"A filter needs one or two dimensions and some taps, not shape {list(taps.shape)}.")
    if taps.ndim == 2 and separable:
        raise ValueError("A two-dimensional filter cannot be made separable; give its one-dimensional half.")
    if taps.ndim == 0:
        taps = taps[None]
    if taps.ndim == 1:
        keep = separable if separable is not None else taps.numel() >= 8
        if not keep:
            taps = taps.outer(taps)
    if normalize:
        taps = taps / taps.sum()
    if flip_filter:
        taps = taps.flip(list(range(taps.ndim)))
    taps = taps * gain ** (taps.ndim / 2)
    return taps.to(device=device)


def design_lowpass_filter(numtaps: int, cutoff: float, width: float, fs: float, radial: bool = False) -> Tensor | None:
    """Design a low-pass filter with a Kaiser window: [numtaps] float32, or [numtaps, numtaps] when `radial`.

    `cutoff` and the transition band's `width` are in the units of the sampling rate `fs` (cycles per image width); the
    amplitude response is 1/2 at `cutoff`. The window's beta follows from numtaps and width by Kaiser's formulas
    (Karras et al. 2021, Appendix C.1). The radial filter is a jinc under a separable window, with the same response in
    all directions. The taps sum to 1. One tap means no filtering: None. Raises ValueError for values that are not
    positive.
    """
    if numtaps < 1 or cutoff <= 0 or width <= 0 or fs <= 0:
        raise ValueError("A low-pass filter needs numtaps >= 1 and positive cutoff, width and sampling rate.")
    if numtaps == 1:
        return None
    window = np.kaiser(numtaps, kaiser_beta(numtaps, width, fs))
    position = np.arange(numtaps) - (numtaps - 1) / 2
    if not radial:
        taps = np.sinc(2 * cutoff / fs * position) * window
    else:
        # The Fourier transform of a disc of radius `cutoff` is J1(2 pi r cutoff) / r. With an odd number of taps the
        # center is its limit, pi * cutoff.
        radius = np.hypot(*np.meshgrid(position, position)) / fs
        angle = torch.from_numpy(2 * np.pi * cutoff * radius)
        bessel = torch.special.bessel_j1(angle).numpy()
        jinc = np.divide(bessel, radius, out=np.full_like(radius, np.pi * cutoff), where=radius > 0)
        taps = jinc * np.outer(window, window)
    return torch.as_tensor(taps / taps.sum(), dtype=torch.float32)


def kaiser_beta(numtaps: int, width: float, fs: float) -> float:
    """Return the Kaiser window's beta for `numtaps` taps and a transition band of `width` at sampling rate `fs`."""
    attenuation = 2.285 * (numtaps - 1) * np.pi * (width / (fs / 2)) + 7.95  # decibels; Kaiser 1974
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0
