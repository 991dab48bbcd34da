"""Render one planet with numpy: sphere, light, rings, atmosphere and stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.planets.fractal_noise import sample_noise
from data.planets.planet_types import PLANET_TYPES
from data.planets.sphere_geometry import PlanetSurface, Sphere, dot, linear_rgb, smoothstep

SUPERSAMPLING = 2
CLASSES = tuple(PLANET_TYPES)


@dataclass(frozen=True)
class Rings:
    """A flat disk of ringlets: opacity and color by distance from the center, from `inner` to `outer` planet radii."""

    inner: float
    outer: float
    cumulative_opacity: np.ndarray  # [K+1] prefix sums of opacity
    cumulative_color: np.ndarray  # [K+1,3] prefix sums of opacity * color

    def mean_over(self, distance: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average opacity [...] and opacity-weighted color [3,...] over `width` around `distance`, against aliasing."""
        steps = len(self.cumulative_opacity) - 1
        scale = steps / (self.outer - self.inner)
        low = np.clip((distance - width / 2 - self.inner) * scale, 0, steps)
        high = np.clip((distance + width / 2 - self.inner) * scale, 0, steps)
        span = np.maximum(width * scale, 1e-3)
        places = np.arange(steps + 1)

        def mean(running: np.ndarray) -> np.ndarray:
            return ((np.interp(high, places, running) - np.interp(low, places, running)) / span).astype(np.float32)

        return mean(self.cumulative_opacity), np.stack(
            [mean(self.cumulative_color[:, channel]) for channel in range(3)]
        )


def render(rng: np.random.Generator, kind: int, resolution: int) -> np.ndarray:
    """Render a planet of class number `kind` as uint8 [H,W,3]; all its other properties are drawn from `rng`."""
    has_rings = rng.random() < (0.7, 0.05, 0.08, 0.0)[kind]
    radius = rng.uniform(0.17, 0.235) if has_rings else rng.uniform(0.25, 0.41)
    margin = 0.47 - radius * (1.8 if has_rings else 1)
    center = rng.normal(0, 0.4, 2).clip(-1, 1) * max(margin, 0.03)
    side = resolution * SUPERSAMPLING
    pixel = 1 / (side * radius)  # in planet radii
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    x = (axis - np.float32(center[0])) / np.float32(radius)
    y = -(axis + np.float32(center[1])) / np.float32(radius)

    light = _random_light_direction(rng)
    spin = _random_orientation(rng, has_rings)
    canvas = _render_sky(rng, side, resolution)
    world_seed, ring_seed = rng.spawn(2)
    rings = _random_rings(ring_seed, kind) if has_rings else None
    extent = 1 + 4 * pixel
    columns, rows = _index_range(x, extent), _index_range(y, extent)
    sphere = Sphere.from_grid(x[columns], y[rows], spin, resolution * radius)
    world = PLANET_TYPES[CLASSES[kind]](world_seed, sphere, light)

    if rings is not None:
        _draw_rings(canvas, rings, x, y, spin[1], light, pixel, behind=True)
    _draw_globe(canvas[:, rows, columns], sphere, world, rings, spin[1], light, pixel)
    _draw_atmosphere(canvas, world, x, y, light, pixel)
    if rings is not None:
        _draw_rings(canvas, rings, x, y, spin[1], light, pixel, behind=False)
    return _tone_map(canvas, resolution)


def _random_light_direction(rng: np.random.Generator) -> np.ndarray:
    """Draw the unit vector [3] towards the sun: from any side, at phases that mostly show a terminator."""
    around = rng.uniform(0, 2 * np.pi)
    phase = np.radians(rng.uniform(20, 88))  # 0: full, 90: half
    vector = [np.sin(phase) * np.cos(around), np.sin(phase) * np.sin(around), np.cos(phase)]
    return np.array(vector, np.float32)


def _random_orientation(rng: np.random.Generator, has_rings: bool) -> np.ndarray:
    """Draw the planet's own axes as rows [3,3]; the second is the pole. Rings are seen at a tilt of 7 to 32 degrees."""
    roll = rng.normal(0, np.radians(28))
    lean = np.radians(rng.uniform(7, 32)) * rng.choice([-1, 1]) if has_rings else rng.normal(0, np.radians(22))
    turn = rng.uniform(0, 2 * np.pi)
    pole = np.array([np.sin(roll) * np.cos(lean), np.cos(roll) * np.cos(lean), np.sin(lean)])
    side = np.cross(pole, [0, 0, 1.0])
    side /= np.linalg.norm(side)
    front = np.cross(side, pole)
    first = side * np.cos(turn) + front * np.sin(turn)
    return np.stack([first, pole, np.cross(first, pole)]).astype(np.float32)


def _index_range(values: np.ndarray, reach: float) -> slice:
    inside = np.flatnonzero(np.abs(values) < reach)
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _render_sky(rng: np.random.Generator, side: int, resolution: int) -> np.ndarray:
    """Render stars and a faint nebula, linear light [3,side,side]."""
    canvas = np.zeros((3, side, side), np.float32)
    tint = linear_rgb(["#2b3f8f", "#6b2b7a", "#1f6f78", "#7a3b2b", "#30343f"][rng.integers(5)])
    second = linear_rgb(["#2b3f8f", "#8f3b5a", "#2f6f5a"][rng.integers(3)])
    along = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    turn, offset = rng.uniform(0, 2 * np.pi), rng.random(3).astype(np.float32)
    across = along[:, None] * np.float32(np.cos(turn)) + along[None, :] * np.float32(np.sin(turn))
    grid = np.broadcast_to(along[None] * np.float32(0.17) + offset[0], (side, side))
    cloud = sample_noise(grid, grid.T - offset[0] + offset[1], np.full(grid.shape, offset[2], np.float32))
    # A band of dust across the sky, like the Milky Way.
    band = np.exp(-(((across - np.float32(rng.normal(0, 0.25))) / np.float32(rng.uniform(0.15, 0.4))) ** 2))
    cloud = band * smoothstep(-1.6, 2.6, cloud)
    blend = smoothstep(-0.5, 0.5, across)
    color = tint[:, None, None] * blend + second[:, None, None] * (1 - blend)
    canvas += color * (cloud * np.float32(rng.uniform(0.02, 0.3))) + np.float32(0.001)
    count = int(rng.poisson(rng.uniform(12, 48) * min(max(resolution / 64, 0.6), 4)))
    places = rng.random((count, 2)) * side
    brightness = np.minimum(0.045 * rng.pareto(1.1, count) + 0.03, 1.8)
    warmth = rng.normal(0, 0.35, count)
    size = SUPERSAMPLING * (0.42 + 0.18 * np.sqrt(brightness)) * max(resolution / 192, 1) ** 0.6
    for place, bright, warm, width in zip(places, brightness, warmth, size, strict=True):
        color = np.clip(np.array([1 + 0.5 * warm, 1 - 0.1 * abs(warm), 1 - 0.5 * warm]), 0.3, 1.4).astype(np.float32)
        _draw_star(canvas, place, color * np.float32(bright), float(width))
    return canvas


def _draw_star(canvas: np.ndarray, place: np.ndarray, color: np.ndarray, width: float) -> None:
    """Add a Gaussian dot centered at a fractional pixel position (row, column)."""
    side = canvas.shape[-1]
    reach = int(3 * width + 1)
    top, left = (max(int(value) - reach, 0) for value in place)
    bottom, right = (min(int(value) + reach + 1, side) for value in place)
    down = np.exp(-((np.arange(top, bottom) + 0.5 - place[0]) ** 2) / (2 * width**2)).astype(np.float32)
    over = np.exp(-((np.arange(left, right) + 0.5 - place[1]) ** 2) / (2 * width**2)).astype(np.float32)
    canvas[:, top:bottom, left:right] += color[:, None, None] * (down[:, None] * over)


def _random_rings(rng: np.random.Generator, kind: int) -> Rings:
    """Draw ringlets and gaps at random: a few broad bands with fine grooves."""
    steps = 600
    inner = rng.uniform(1.18, 1.45)
    outer = min(inner + rng.uniform(0.35, 1.0), 2.25)
    place = np.linspace(0, 1, steps)
    knots = rng.integers(5, 11)
    broad = np.interp(place, np.linspace(0, 1, knots), rng.uniform(0.25, 1.0, knots))
    grooves = np.interp(place, np.linspace(0, 1, 70), rng.uniform(0.55, 1.0, 70))
    opacity = broad * grooves * smoothstep(0, 0.06, place) * smoothstep(0, 0.05, 1 - place)
    for _ in range(rng.integers(1, 4)):
        middle, half = rng.uniform(0.15, 0.9), rng.uniform(0.012, 0.045)
        opacity *= np.clip(np.abs(place - middle) / half, 0.04, 1) ** 2
    opacity = np.clip(opacity * rng.uniform(0.75, 1.25), 0, 0.97)
    palettes = (("#e8d7b5", "#a08a6c"), ("#d9d2c7", "#8d8378"), ("#c9b2a0", "#6f5547"), ("#bfd0d8", "#71838f"))
    ends = [linear_rgb(text) for text in palettes[rng.integers(len(palettes))]]
    blend = np.interp(place, np.linspace(0, 1, 12), rng.uniform(0, 1, 12))[:, None]
    color = (ends[0] * blend + ends[1] * (1 - blend)) * opacity[:, None]
    running = np.concatenate([[0], np.cumsum(opacity)])
    return Rings(inner, outer, running, np.concatenate([np.zeros((1, 3)), np.cumsum(color, axis=0)]))


def _draw_rings(
    canvas: np.ndarray,
    rings: Rings,
    x: np.ndarray,
    y: np.ndarray,
    pole: np.ndarray,
    light: np.ndarray,
    pixel: float,
    behind: bool,
) -> None:
    """Composite the half of the rings behind the planet, or the half in front of it, onto the canvas."""
    columns, rows = _index_range(x, rings.outer), _index_range(y, rings.outer)
    x, y = x[columns][None, :], y[rows][:, None]
    z = -(pole[0] * x + pole[1] * y) / pole[2]
    away = np.sqrt(x * x + y * y + z * z)
    slope_x, slope_y = (x - z * pole[0] / pole[2]) / away, (y - z * pole[1] / pole[2]) / away
    opacity, color = rings.mean_over(away, np.hypot(slope_x, slope_y) * np.float32(pixel * 1.2))
    edge = np.float32(pixel / abs(pole[2]))
    half = smoothstep(-edge, edge, -z if behind else z)
    along = x * light[0] + y * light[1] + z * light[2]
    off = np.sqrt(np.maximum(away * away - along * along, 0))
    shadow = np.where(along < 0, smoothstep(0.985, 1.015, off), 1)  # the planet's own shadow
    facing = float(pole @ light) * float(np.sign(pole[2]))
    lit = 0.95 * abs(facing) ** 0.35 if facing > 0 else 0.22
    opacity *= half
    target = canvas[:, rows, columns]
    target *= 1 - opacity
    target += color * (half * (shadow * np.float32(lit) + np.float32(0.015)))


def _draw_globe(
    canvas: np.ndarray,
    sphere: Sphere,
    world: PlanetSurface,
    rings: Rings | None,
    pole: np.ndarray,
    light: np.ndarray,
    pixel: float,
) -> None:
    """Composite the lit globe onto the canvas."""
    sun = world.shade.copy()
    if rings is not None:
        upward = dot(pole, sphere.normal)
        slant = float(pole @ light)
        travel = -upward / (slant if abs(slant) > 1e-3 else 1e-3)
        hit = sphere.normal + light[:, None, None] * travel
        opacity, _ = rings.mean_over(np.sqrt((hit * hit).sum(0)), np.full(upward.shape, pixel * 2, np.float32))
        sun *= 1 - 0.85 * opacity * (travel > 0)
    color = world.albedo * (sun + np.float32(0.006)) + world.emission
    rim = (1 - sphere.normal[2]) ** 2.5
    day = smoothstep(-0.25, 0.55, dot(light, sphere.normal))
    color += world.atmosphere_color[:, None, None] * (rim * day * np.float32(world.haze))
    cover = np.clip((1 - sphere.distance) / np.float32(pixel) + 0.5, 0, 1)
    canvas *= 1 - cover
    canvas += color * cover


def _draw_atmosphere(
    canvas: np.ndarray, world: PlanetSurface, x: np.ndarray, y: np.ndarray, light: np.ndarray, pixel: float
) -> None:
    """Add the glow of the atmosphere beyond the globe's edge, on the side of the sun."""
    if world.glow <= 0:
        return
    reach = 1 + 6 * world.thickness
    columns, rows = _index_range(x, reach), _index_range(y, reach)
    x, y = x[columns][None, :], y[rows][:, None]
    distance = np.sqrt(x * x + y * y)
    height = np.maximum(distance - 1, 0) / np.float32(world.thickness)
    day = smoothstep(-0.35, 0.7, (x * light[0] + y * light[1]) / np.maximum(distance, 1e-3) + 0.25 * light[2])
    day = day * (1 - world.night_glow) + world.night_glow
    outside = np.clip((distance - 1) / np.float32(pixel) + 0.5, 0, 1)
    canvas[:, rows, columns] += world.atmosphere_color[:, None, None] * (
        np.exp(-height) * day * outside * np.float32(world.glow)
    )


def _tone_map(canvas: np.ndarray, resolution: int) -> np.ndarray:
    """Convert linear light [3,S,S] to sRGB uint8 [H,W,3]: compress highlights, downsample by (1 3 3 1) / 8, encode."""
    canvas = 1 - np.exp(-1.35 * np.maximum(canvas, 0))
    canvas = np.minimum(canvas * 1.12, 1)
    for axis in (1, 2):  # (1 3 3 1) / 8 around each pair of samples
        padded = np.concatenate([canvas.take([0], axis), canvas, canvas.take([-1], axis)], axis)
        parts = [padded.take(np.arange(start, start + 2 * resolution, 2), axis) for start in range(4)]
        canvas = (parts[0] + 3 * parts[1] + 3 * parts[2] + parts[3]) / 8
    encoded = np.where(canvas <= 0.0031308, canvas * 12.92, 1.055 * np.maximum(canvas, 1e-9) ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8).transpose(1, 2, 0).copy()
