"""The visible half of a globe as points, slopes and light: what every kind of planet is painted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sphere:
    """The visible half of a planet on a grid: towards the viewer is +z, lengths are in planet radii."""

    normal: np.ndarray  # [3,H,W] of the smooth sphere, as seen
    position: np.ndarray  # [3,H,W] the same point in the planet's own axes; the second is latitude's sine
    distance: np.ndarray  # [H,W] from the centre on the picture; beyond 1 lies the sky
    orientation: np.ndarray  # [3,3] rows are the planet's own axes
    pixels: float  # of the finished picture, per radius
    step: float  # between grid points

    @classmethod
    def from_grid(cls, x: np.ndarray, y: np.ndarray, spin: np.ndarray, pixels: float) -> Sphere:
        grid_x, grid_y = np.broadcast_arrays(x[None, :], y[:, None])
        distance = np.sqrt(grid_x * grid_x + grid_y * grid_y)
        inward = np.minimum(1, np.float32(0.9995) / np.maximum(distance, 1e-6))
        grid_x, grid_y = grid_x * inward, grid_y * inward
        normal = np.stack([grid_x, grid_y, np.sqrt(1 - grid_x * grid_x - grid_y * grid_y)])
        place = np.stack([dot(axis, normal) for axis in spin])
        return cls(normal, place, distance, spin, pixels, float(abs(x[1] - x[0])))

    def bump_normals(self, height: np.ndarray, strength: float) -> np.ndarray:
        """The normals [3,H,W] of the sphere raised by height x strength."""
        down, over = np.gradient(height, self.step)
        slope = np.stack([over, -down, np.zeros_like(over)])
        slope -= (slope * self.normal).sum(0) * self.normal
        # Towards the edge a pixel spans much ground: its slopes average out.
        slope *= np.float32(strength) * smoothstep(0.0, 0.45, self.normal[2])
        steep = np.sqrt((slope * slope).sum(0))
        slope *= 1 / (1 + 0.6 * steep)
        bent = self.normal - slope
        return bent / np.sqrt((bent * bent).sum(0))


@dataclass(frozen=True)
class PlanetSurface:
    """Colour and light of a globe, linear light."""

    albedo: np.ndarray  # [3,H,W]
    shade: np.ndarray  # [H,W] sunlight that arrives
    emission: np.ndarray  # [3,H,W] own light
    atmosphere_color: np.ndarray  # [3] colour of the atmosphere
    glow: float = 0  # beyond the edge
    haze: float = 0  # before the edge
    thickness: float = 0.03
    night_glow: float = 0  # of the glow, how much shines at night too


def dot(direction: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Dot product of a direction [3] with points [3,...]; elementwise, hence equal on any number of cores."""
    x, y, z = direction
    return x * points[0] + y * points[1] + z * points[2]


def linear_rgb(text: str) -> np.ndarray:
    """`#rrggbb` as linear light [3] float32."""
    value = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def smoothstep(low: float | np.floating, high: float | np.floating, value: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
