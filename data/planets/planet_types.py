"""Planet types: gas giants, cratered rocks, ocean worlds and lava worlds, as color and light on a sphere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data.planets.fractal_noise import FractalNoise
from data.planets.sphere_geometry import PlanetSurface, Sphere, dot, linear_rgb, smoothstep
from data.planets.surface_features import clouds, craters, storms, voronoi_edge_distance


def gas_giant(rng: np.random.Generator, sphere: Sphere, light: np.ndarray) -> PlanetSurface:
    """Gas giant: bands along the latitudes, curled by winds, with oval storms."""
    colors = _jitter_palette(rng, _GAS[rng.integers(len(_GAS))])
    place = sphere.position.copy()
    ovals = storms(rng, sphere, place, colors)
    winds = FractalNoise(rng, 0.16, sphere.pixels, stretch=2.2)
    curls = FractalNoise(rng, 0.4, sphere.pixels, stretch=1.6)
    streaks = FractalNoise(rng, 0.22, sphere.pixels, stretch=4)
    turbulence = np.float32(rng.uniform(0.012, 0.05))
    latitude = place[1] + turbulence * winds(place)
    # Winds alternate in direction with latitude.
    shear = np.sin(latitude * np.float32(rng.uniform(9, 16)) + np.float32(rng.uniform(0, 6)))
    blown = place.copy()
    blown[0] += np.float32(0.12) * shear * place[2]
    blown[2] -= np.float32(0.12) * shear * place[0]
    latitude = latitude + turbulence * 0.55 * curls(blown)
    count = int(rng.integers(13, 30))
    knots = np.sort(np.linspace(-1, 1, count) + rng.uniform(-0.7, 0.7, count) / count)
    choice = rng.permuted(np.resize(np.arange(len(colors)), count))
    table = np.array([colors[i] for i in choice]) * rng.uniform(0.8, 1.14, (count, 1))
    albedo = np.stack([np.interp(latitude, knots, table[:, c]) for c in range(3)]).astype(np.float32)
    albedo *= 1 + np.float32(rng.uniform(0.06, 0.13)) * streaks(blown)
    for inside, color in ovals:
        albedo += (color[:, None, None] - albedo) * inside
    poles = smoothstep(0.72, 1.0, np.abs(place[1])) * np.float32(rng.uniform(0, 0.5))
    albedo *= 1 - poles
    sun = dot(light, sphere.normal)
    shade = np.clip((sun + 0.09) / 1.09, 0, 1) ** 1.1 * (0.72 + 0.28 * sphere.normal[2]) * 1.25
    air = colors.mean(0) * 0.6 + linear_rgb("#9fc4ff") * 0.15
    return PlanetSurface(
        np.clip(albedo, 0.004, 1), shade, np.zeros_like(albedo), air, glow=0.22, haze=0.25, thickness=0.018
    )


def rock(rng: np.random.Generator, sphere: Sphere, light: np.ndarray) -> PlanetSurface:
    """Rocky planet: dust, dark plains and craters of all sizes, without an atmosphere."""
    bright, dark, dust = _jitter_palette(rng, _ROCK[rng.integers(len(_ROCK))])
    rough = FractalNoise(rng, 0.45, sphere.pixels, gain=0.4)
    plains = FractalNoise(rng, 0.13, sphere.pixels)
    stains = FractalNoise(rng, 0.3, sphere.pixels)
    relief = rough(sphere.position)
    height, rays = craters(rng, sphere)
    height = height + np.float32(rng.uniform(0.002, 0.006)) * relief
    plain = smoothstep(-0.1, 0.7, plains(sphere.position) + 0.1 * relief)[None] * np.float32(rng.uniform(0.3, 0.9))
    albedo = bright[:, None, None] * (1 - plain) + dark[:, None, None] * plain
    stain = smoothstep(0.2, 1.3, stains(sphere.position))[None] * np.float32(0.6)
    albedo = albedo * (1 - stain) + dust[:, None, None] * stain
    albedo *= 1 + 0.07 * relief + rays
    normal = sphere.bump_normals(height, 1.0)
    sun = dot(light, sphere.normal)
    shade = np.clip(dot(light, normal), 0, 1) ** 0.9 * smoothstep(-0.12, 0.16, sun) * 1.25
    return PlanetSurface(np.clip(albedo, 0.004, 1), shade, np.zeros_like(albedo), dust)


def ocean(rng: np.random.Generator, sphere: Sphere, light: np.ndarray) -> PlanetSurface:
    """Ocean world: seas, continents, polar ice and clouds."""
    deep, shallow, low, high, air = _jitter_palette(rng, _OCEAN[rng.integers(len(_OCEAN))])
    ground = FractalNoise(rng, 0.15, sphere.pixels, gain=0.22)
    dry = FractalNoise(rng, 0.2, sphere.pixels)
    altitude = ground(sphere.position) - np.float32(rng.uniform(-0.15, 0.75))
    coast = np.float32(2.5 / sphere.pixels)
    land = smoothstep(-coast, coast, altitude)
    shelf = smoothstep(-0.45, 0.02, altitude)
    water = deep[:, None, None] * (1 - shelf) + shallow[:, None, None] * shelf
    dryness = smoothstep(-0.5, 0.9, dry(sphere.position) + 0.9 * altitude - 0.5 * np.abs(sphere.position[1]))
    soil = low[:, None, None] * (1 - dryness) + high[:, None, None] * dryness
    soil = soil * (1 - 0.25 * smoothstep(0.7, 1.6, altitude))
    albedo = water * (1 - land) + soil * land
    frost = np.float32(rng.uniform(0.45, 0.98))  # the sine of the latitude where ice begins
    ice = smoothstep(frost - 0.05, frost + 0.07, np.abs(sphere.position[1]) + 0.07 * altitude)
    frozen = linear_rgb("#d6e4f0")[:, None, None] * (0.92 + 0.1 * dry(sphere.position) - 0.25 * (1 - shelf))
    albedo = albedo * (1 - ice) + frozen * ice

    weather = clouds(rng, sphere)
    toward = (sphere.orientation @ light)[:, None, None]
    cover = weather(sphere.position)
    cast = weather(sphere.position + np.float32(0.02) * (toward - sphere.position))  # cloud shadows
    normal = sphere.bump_normals(np.maximum(altitude, 0) * land, 0.009)
    sun = dot(light, sphere.normal)
    shade = np.clip(dot(light, normal), 0, 1) * smoothstep(-0.1, 0.12, sun) * (1 - 0.45 * cast)
    half = light + np.array([0, 0, 1], np.float32)
    mirror = np.clip(dot(half / np.linalg.norm(half), sphere.normal), 0, 1)
    glint = (0.55 * mirror**160 + 0.12 * mirror**25) * (1 - land) * (1 - ice) * (1 - cover)
    dusk = smoothstep(0.0, 0.35, sun)  # red light where the sun is low
    white = np.stack([0.95 * np.ones_like(sun), 0.72 + 0.23 * dusk, 0.55 + 0.42 * dusk])
    lit = albedo * shade * (1 - cover) + white * cover * np.clip(sun, 0, 1) ** 0.8
    lit += linear_rgb("#fff2d8")[:, None, None] * glint * (sun > 0)
    night = albedo * np.float32(0.006)
    return PlanetSurface(lit * 1.08, np.ones_like(sun), night, air, glow=0.75, haze=0.85, thickness=0.026)


def lava(rng: np.random.Generator, sphere: Sphere, light: np.ndarray) -> PlanetSurface:
    """Lava world: a black crust with glowing cracks, visible on the night side."""
    crust, ash, fire, spark = _jitter_palette(rng, _LAVA[rng.integers(len(_LAVA))], 0.05)
    warp = [FractalNoise(rng, 0.22, sphere.pixels) for _ in range(3)]
    veins = FractalNoise(rng, 0.22, min(sphere.pixels, 24))
    heat = FractalNoise(rng, 0.1, sphere.pixels)
    rough = FractalNoise(rng, 0.5, sphere.pixels, gain=0.4)
    bends = np.stack([field(sphere.position) for field in warp])
    place = sphere.position + np.float32(rng.uniform(0.02, 0.07)) * bends
    relief = rough(sphere.position)
    hot = smoothstep(-1.2, 1.4, heat(sphere.position))
    width = np.float32(max(0.011, 0.55 / sphere.pixels))
    gap = voronoi_edge_distance(rng, place, int(rng.integers(25, 90)))
    cracks = np.exp(-((gap / (width * (0.5 + 1.7 * hot))) ** 1.2))
    near = np.exp(-gap / 0.07) * 0.16 * hot  # warm rock beside a crack
    fine = np.exp(-np.abs(veins(place)) / (width * 5 * (0.2 + hot))) * hot
    rafts = smoothstep(-0.5, 0.9, relief + 0.6 * bends[1])  # crust floating on lava lakes
    lake = smoothstep(1.3, 1.6, heat(place) + 0.2 * relief) * (0.95 - 0.75 * rafts)
    fire_amount = np.clip(cracks * (0.3 + hot) + 0.35 * fine + near + lake, 0, 1.6) * np.float32(rng.uniform(0.7, 1.0))
    emission = fire[:, None, None] * fire_amount**1.5 * 1.25 + spark[:, None, None] * fire_amount**4 * 0.5
    stain = smoothstep(-0.6, 1.2, bends[0])[None]
    albedo = (crust[:, None, None] * (1 - stain) + ash[:, None, None] * stain) * (1 + 0.15 * relief)
    normal = sphere.bump_normals(0.006 * relief - 0.02 * cracks, 1.0)
    sun = dot(light, sphere.normal)
    shade = np.clip(dot(light, normal), 0, 1) * smoothstep(-0.1, 0.15, sun) * 1.2
    emission *= 0.45 + 0.55 * sphere.normal[2]
    return PlanetSurface(np.clip(albedo, 0.003, 1), shade, emission, fire, 0.16, 0.1, 0.075, night_glow=0.6)


PLANET_TYPES: dict[str, Callable[[np.random.Generator, Sphere, np.ndarray], PlanetSurface]] = {
    "gas giant": gas_giant,
    "rocky": rock,
    "ocean": ocean,
    "lava": lava,
}


def _jitter_palette(rng: np.random.Generator, colors: tuple[str, ...], amount: float = 0.1) -> np.ndarray:
    """Vary a palette of `#rrggbb` colors at random: linear RGB [K,3] float32."""
    values = np.stack([linear_rgb(text) for text in colors])
    return (values * rng.normal(1, amount, (1, 3)).clip(0.7, 1.3) * rng.normal(1, amount / 2, (len(colors), 1))).astype(
        np.float32
    )


_GAS: tuple[tuple[str, ...], ...] = (
    ("#f1e2c6", "#c9965f", "#8f5a3a", "#e9cda0", "#f7efe0"),
    ("#ead9a8", "#cbb07a", "#f3e8c8", "#b8935c"),
    ("#7fb7e6", "#3f73c4", "#a9d8f2", "#2f4fa0", "#d9f0fa"),
    ("#8fd8d0", "#4fa6a8", "#c8f0e4", "#2f7f8c"),
    ("#e6a6b8", "#a85f8c", "#f2d0d4", "#6f3f78", "#f0b890"),
    ("#d8b48c", "#7a4a5f", "#b0705c", "#ecd8c0", "#50405f"),
    ("#c8d88c", "#8fa04f", "#eaf0c0", "#6f7f3f"),
)
_ROCK = (
    ("#b9b4ab", "#5c5954", "#8f877c"),
    ("#c9a27e", "#6b4a37", "#a86f4a"),
    ("#c8704a", "#6f3626", "#d99a68"),
    ("#9f9488", "#463f3a", "#c4b59f"),
    ("#d4c9a8", "#857a5a", "#b0986a"),
    ("#9aa5b0", "#4a525c", "#7f8790"),
)
_OCEAN = (
    ("#06204f", "#1c6f9c", "#2f6b2c", "#b08d55", "#5c9dff"),
    ("#04284a", "#2a93a8", "#4a7a34", "#c2a468", "#66b4ff"),
    ("#0a1c5c", "#2f5fb8", "#7a6a3c", "#c98a5a", "#7a9cff"),
    ("#053b44", "#2fa88f", "#5a4a7a", "#a87a9c", "#6fe0d8"),
    ("#123a6b", "#6fb4d8", "#8f9ca0", "#dfe6ea", "#9ccaff"),
)
_LAVA = (
    ("#1a1614", "#3a2c26", "#ff4a0a", "#ffc23c"),
    ("#161314", "#40302f", "#ff2f10", "#ff9a3a"),
    ("#1c1a1e", "#37343c", "#ff7a14", "#ffe070"),
    ("#140f10", "#2c1c1c", "#ff3a24", "#ffb0a0"),
)
