"""Surface features of planets: storms, craters, plates and clouds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data.planets.fractal_noise import FractalNoise
from data.planets.sphere_geometry import Sphere, dot, smoothstep


def storms(
    rng: np.random.Generator, sphere: Sphere, place: np.ndarray, colors: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw oval storms: their masks [H,W] and colors [3]; `place` [3,H,W] is distorted in place around them."""
    ovals = []
    for _ in range(rng.integers(0, 4)):
        latitude, turn = rng.uniform(-0.6, 0.6), rng.uniform(0, 2 * np.pi)
        along = np.sqrt(1 - latitude**2)
        center = np.array([along * np.sin(turn), latitude, along * np.cos(turn)], np.float32)
        size = rng.uniform(0.05, 0.2)
        offset = sphere.position - center[:, None, None]
        flat = offset * np.array([1, 1.9, 1], np.float32)[:, None, None] / np.float32(size)
        away = np.sqrt((flat * flat).sum(0))
        stir = np.exp(-(away**2) / 2)
        place[1] += stir * offset[1] * 1.2  # bands part before a storm
        ends = (colors.max(0) * 1.1, colors.min(0) * 0.7, colors.mean(0) * np.array([1.35, 0.75, 0.6], np.float32))
        ripple = 0.8 + 0.2 * np.cos(away * 7)
        ovals.append((smoothstep(1.4, 0.6, away) * ripple * 0.75, ends[rng.integers(3)]))
    return ovals


def craters(rng: np.random.Generator, sphere: Sphere) -> tuple[np.ndarray, np.ndarray]:
    """Draw craters, many small and few large: height [H,W] and brightness of their rays [H,W]."""
    height = np.zeros(sphere.distance.shape, np.float32)
    rays = np.zeros_like(height)
    # As on the Moon: half the size, several times as many; the smallest are a pixel or two.
    count = int(rng.integers(90, 240) * np.clip(sphere.pixels / 40, 0.6, 4))
    smallest = max(0.028 * (40 / sphere.pixels) ** 0.5, 1.4 / sphere.pixels)
    sizes = np.minimum(smallest * (1 - rng.random(count)) ** -0.62, 0.26)
    centers = rng.normal(size=(count, 3))
    centers = (centers / np.linalg.norm(centers, axis=1, keepdims=True)).astype(np.float32)
    fresh = rng.random(count) < 0.12
    ages = rng.uniform(0.35, 1, count).astype(np.float32)
    left, top = _grid_corner(sphere)
    num_rows, num_columns = sphere.distance.shape
    for center, size, is_fresh, sharp in zip(centers, sizes, fresh, ages, strict=True):
        if center[2] < -0.05:
            continue
        reach = size * (4.4 if is_fresh else 1.9)
        columns = _index_range((center[0] - left) / sphere.step, reach / sphere.step, num_columns)
        rows = _index_range((top - center[1]) / sphere.step, reach / sphere.step, num_rows)
        if columns.stop <= columns.start or rows.stop <= rows.start:
            continue
        offset = sphere.normal[:, rows, columns] - center[:, None, None]
        away = np.sqrt((offset * offset).sum(0)) / np.float32(size)
        bowl = np.minimum(away * away - 1, 0) * min(1.0, 0.09 / size)
        rim = np.exp(-((away - 1.03) ** 2) * 16)
        depth = np.float32(size * 0.36) * sharp
        height[rows, columns] += depth * (bowl + 0.5 * rim)
        if is_fresh:
            around = np.arctan2(offset[1], offset[0])
            spikes = 0.5 + 0.5 * np.cos(around * 9 + 3 * np.sin(around * 4 + float(size) * 90))
            rays[rows, columns] += 0.9 * np.exp(-0.8 * away) * (0.3 + 0.7 * spikes) * smoothstep(4.4, 2.5, away)
        else:
            rays[rows, columns] -= 0.12 * sharp * (away < 0.85)
    return height, rays


def voronoi_edge_distance(rng: np.random.Generator, place: np.ndarray, count: int) -> np.ndarray:
    """Distance [H,W], in radii, of points `place` [3,H,W] from the nearest edge of `count` random Voronoi cells."""
    centers = rng.normal(size=(count, 3))
    centers = (centers / np.linalg.norm(centers, axis=1, keepdims=True)).astype(np.float32)
    points = place.reshape(3, -1)
    first = np.full(points.shape[1], -np.inf, np.float32)
    second = first.copy()
    for center in centers:
        toward = dot(center, points)
        np.maximum(second, np.minimum(first, toward), out=second)
        np.maximum(first, toward, out=first)
    across = np.sqrt(np.maximum(2 - 2 * second, 0)) - np.sqrt(np.maximum(2 - 2 * first, 0))
    return (across / 2).reshape(place.shape[1:])


def clouds(rng: np.random.Generator, sphere: Sphere) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from positions [3,H,W] to cloud cover [H,W] from 0 to 1, streaks curled by winds."""
    swirl = [FractalNoise(rng, 0.2, min(sphere.pixels, 18)) for _ in range(2)]
    veil = FractalNoise(rng, 0.2, sphere.pixels, stretch=1.7, gain=0.45)
    amount, strength = np.float32(rng.uniform(0.0, 1.1)), np.float32(rng.uniform(0.08, 0.2))

    def thickness(place: np.ndarray) -> np.ndarray:
        moved = place.copy()
        moved[0] += strength * swirl[0](place)
        moved[2] += strength * swirl[1](place)
        belts = 0.35 * np.cos(place[1] * 9)
        return smoothstep(0.0, 1.7, veil(moved) + belts - 0.9 + amount) * 0.92

    return thickness


def _grid_corner(sphere: Sphere) -> tuple[float, float]:
    """Return x of the first column and y of the first row, in radii."""
    rows, columns = sphere.distance.shape
    middle_row, middle_column = rows // 2, columns // 2
    left = float(sphere.normal[0, middle_row, middle_column]) - middle_column * sphere.step
    top = float(sphere.normal[1, middle_row, middle_column]) + middle_row * sphere.step
    return left, top


def _index_range(middle: float, reach: float, length: int) -> slice:
    return slice(max(int(middle - reach), 0), min(int(middle + reach) + 2, length))
