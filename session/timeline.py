"""Motion as a function of time: the scene t seconds after playback started."""

from __future__ import annotations

import math
from dataclasses import replace

from session.document import Session
from session.scene import NUM_SEEDS, Latent, Mixing, Noise, Scene, Transform, move_latent

BOUNCE_AT = 0.5  # image widths from the center at which a moving image reverses
BOUNCE_AT_OCTAVES = 1.0  # octaves of scale at which a growing image reverses


def scene_at(session: Session, t: float) -> Scene:
    """Return the active scene at t seconds. Deterministic: independent of machine and frame rate."""
    return scene_after(session.scene, t)


def scene_after(scene: Scene, t: float) -> Scene:
    """Return the scene after t seconds of its own motion; a speed changes sign where the motion reverses."""
    if t == 0 or not is_moving(scene):
        return scene
    return replace(
        scene,
        latent=_latent_after(scene.latent, t),
        mixing=_mixing_after(scene.mixing, t),
        noise=_noise_after(scene.noise, t),
        transform=_transform_after(scene.transform, t),
    )


def is_moving(scene: Scene) -> bool:
    """Whether the scene changes with time."""
    latent, transform = scene.latent, scene.transform
    return any(
        (
            latent.drift_x,
            latent.drift_y,
            scene.mixing.drift and scene.mixing.layers,
            scene.noise.rate and scene.noise.mode == "random",
            transform.drift_x,
            transform.drift_y,
            transform.spin,
            transform.growth,
        )
    )


def without_motion(scene: Scene) -> Scene:
    """Return the scene with all speeds zero."""
    return replace(
        scene,
        latent=replace(scene.latent, drift_x=0.0, drift_y=0.0),
        mixing=replace(scene.mixing, drift=0.0),
        noise=replace(scene.noise, rate=0.0),
        transform=replace(scene.transform, drift_x=0.0, drift_y=0.0, spin=0.0, growth=0.0),
    )


def _latent_after(latent: Latent, t: float) -> Latent:
    if not (latent.drift_x or latent.drift_y):
        return latent
    return move_latent(latent, latent.drift_x * t, latent.drift_y * t)


def _mixing_after(mixing: Mixing, t: float) -> Mixing:
    x = mixing.x + mixing.drift * t
    return replace(mixing, seed=(mixing.seed + round(x)) % NUM_SEEDS, x=x - round(x)) if mixing.drift else mixing


def _noise_after(noise: Noise, t: float) -> Noise:
    return replace(noise, seed=(noise.seed + math.floor(noise.rate * t)) % NUM_SEEDS) if noise.rate else noise


def _transform_after(transform: Transform, t: float) -> Transform:
    x, drift_x = _triangle_wave(transform.translate_x, transform.drift_x, t, BOUNCE_AT)
    y, drift_y = _triangle_wave(transform.translate_y, transform.drift_y, t, BOUNCE_AT)
    octaves, growth = _triangle_wave(math.log2(transform.scale), transform.growth, t, BOUNCE_AT_OCTAVES)
    return replace(
        transform,
        translate_x=x,
        translate_y=y,
        drift_x=drift_x,
        drift_y=drift_y,
        rotate=_rotate(transform.rotate, transform.spin * t),
        scale=2.0**octaves if transform.growth else transform.scale,
        growth=growth,
    )


def _rotate(degrees: float, by: float) -> float:
    return (degrees + by + 180) % 360 - 180 if by else degrees


def _triangle_wave(value: float, speed: float, t: float, bound: float) -> tuple[float, float]:
    """Return position and speed after t of a constant-speed motion that reverses at +/- `bound`."""
    if not speed:
        return value, speed
    bound = max(bound, abs(value))  # a start outside the bounds first returns
    phase = (value + bound + speed * t) % (4 * bound)
    return (phase - bound, speed) if phase <= 2 * bound else (3 * bound - phase, -speed)
