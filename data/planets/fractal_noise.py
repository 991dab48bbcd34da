"""Fractal noise in 3D: a periodic block is computed once and sampled at any point."""

from __future__ import annotations

from functools import cache

import numpy as np

_PERIOD = 128  # texels; a power of two, so that wrapping is a bit mask
_MIN_FREQUENCY, _MAX_FREQUENCY = 2, 30  # cycles per period; linear interpolation needs about four texels per wave


def sample_noise(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Sample band-limited noise at points in units of its period: mean 0, standard deviation 1, float32 like x.

    Amplitude falls with frequency as in clouds and terrain (a power spectrum of about f^-3.6 in space).
    """
    block = _noise_block()
    base: list[np.ndarray] = []
    fractions: list[np.ndarray] = []
    for axis in (x, y, z):
        scaled = axis * np.float32(_PERIOD)
        low = np.floor(scaled)
        fractions.append(scaled - low)
        base.append(low.astype(np.int32) & (_PERIOD - 1))
    x0, y0, z0 = base[0] * (_PERIOD * _PERIOD), base[1] * _PERIOD, base[2]
    x1 = ((base[0] + 1) & (_PERIOD - 1)) * (_PERIOD * _PERIOD)
    y1 = ((base[1] + 1) & (_PERIOD - 1)) * _PERIOD
    z1 = (base[2] + 1) & (_PERIOD - 1)
    fx, fy, fz = fractions

    def edge(corner: np.ndarray) -> np.ndarray:
        near = block.take(corner + z0)
        return near + (block.take(corner + z1) - near) * fz

    def face(side: np.ndarray) -> np.ndarray:
        near = edge(side + y0)
        return near + (edge(side + y1) - near) * fy

    near = face(x0)
    return near + (face(x1) - near) * fx


class FractalNoise:
    """Fractal noise over a planet, with as many octaves as the pixels can show, at random offsets in the block.

    rng: draws the place. scale: periods of the coarsest part per planet radius. pixels: picture pixels per radius.
    stretch: how much faster it changes along the y axis (the spin axis) than around it.
    """

    def __init__(self, rng: np.random.Generator, scale: float, pixels: float, stretch: float = 1, gain: float = 0.3):
        self.octaves: list[tuple[float, float, np.ndarray]] = []
        finest = pixels / (2.2 * _MAX_FREQUENCY * max(stretch, 1))  # waves of 2.2 pixels
        amplitude = 1.0
        offsets = rng.random((4, 3)).astype(np.float32)  # a fixed number of draws: the same planet at any resolution
        for offset in offsets:
            self.octaves.append((min(scale, finest), amplitude, offset))
            if scale * 3 > finest:
                break
            scale, amplitude = min(scale * 10, finest), amplitude * gain
        self.stretch = np.float32(stretch)

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """Evaluate at points p [3,...] in planet radii -> noise [...]."""
        total = np.zeros(p.shape[1:], np.float32)
        for scale, amplitude, offset in self.octaves:
            s = np.float32(scale)
            point = (p[0] * s + offset[0], p[1] * (s * self.stretch) + offset[1], p[2] * s + offset[2])
            total += np.float32(amplitude) * sample_noise(*point)
        return total


@cache
def _noise_block() -> np.ndarray:
    """Compute the noise block, flat [128^3] float32: white noise shaped to a falling spectrum."""
    random = np.random.Generator(np.random.PCG64(20))
    spectrum = np.fft.rfftn(random.standard_normal((_PERIOD, _PERIOD, _PERIOD), dtype=np.float32))
    along = np.fft.fftfreq(_PERIOD, 1 / _PERIOD) ** 2
    frequency = np.sqrt(along[:, None, None] + along[None, :, None] + along[None, None, : _PERIOD // 2 + 1])
    keep = np.clip(frequency - _MIN_FREQUENCY + 1, 0, 1) * np.clip((_MAX_FREQUENCY - frequency) / 6, 0, 1)
    spectrum *= keep / np.maximum(frequency, 1) ** 1.8
    block = np.fft.irfftn(spectrum, s=(_PERIOD, _PERIOD, _PERIOD), axes=(0, 1, 2)).astype(np.float32)
    return np.ascontiguousarray((block / block.std()).ravel())
