"""Geometry of a globe's visible hemisphere, on which every planet type is shaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sphere:
    """The visible hemisphere of a planet on a pixel grid; +z is towards the viewer, lengths are in planet radii."""

    normal: np.ndarray  # [3,H,W] of the smooth sphere, as seen
    position: np.ndarray  # [3,H,W] the same point in the planet's own axes; the second is the sine of the latitude
    distance: np.ndarray  # [H,W] from the center in the image plane; beyond 1 is sky
    orientation: np.ndarray  # [3,3] rows are the planet's own axes
    pixels: float  # of the final image, per radius
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
        """Bump mapping: normals [3,H,W] of the sphere displaced by height * strength."""
        down, over = np.gradient(height, self.step)
        slope = np.stack([over, -down, np.zeros_like(over)])
        slope -= (slope * self.normal).sum(0) * self.normal
        # Towards the edge a pixel covers a large area, whose slopes average out.
        slope *= np.float32(strength) * smoothstep(0.0, 0.45, self.normal[2])
        steep = np.sqrt((slope * slope).sum(0))
        slope *= 1 / (1 + 0.6 * steep)
        bent = self.normal - slope
        return bent / np.sqrt((bent * bent).sum(0))


@dataclass(frozen=True)
class PlanetSurface:
    """Color and light of a globe, linear light."""

    albedo: np.ndarray  # [3,H,W]
    shade: np.ndarray  # [H,W] incident sunlight
    emission: np.ndarray  # [3,H,W] emitted light
    atmosphere_color: np.ndarray  # [3]
    glow: float = 0  # of the atmosphere outside the globe's edge
    haze: float = 0  # of the atmosphere over the globe
    thickness: float = 0.03
    night_glow: float = 0  # fraction of the glow that the night side has, too


def dot(direction: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Dot product of a direction [3] with points [3,...]; elementwise, so bit-identical on any number of cores."""
    x, y, z = direction
    return x * points[0] + y * points[1] + z * points[2]


def linear_rgb(text: str) -> np.ndarray:
    """Convert sRGB `#rrggbb` to linear light [3] float32."""
    value = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def smoothstep(low: float | np.floating, high: float | np.floating, value: np.ndarray) -> np.ndarray:
    """GLSL's smoothstep: 0 below `low`, 1 above `high`, cubic between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
