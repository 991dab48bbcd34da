"""What dragging on the image does to the scene: moves the latent, or translates, rotates and scales the image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from session import Scene, Transform
from session.fields import clamp, describe
from session.scene import move_latent

Point = tuple[float, float]
Drag = Callable[[Scene, Point, Point, Point, float], Scene]
FIELDS = describe(Transform)
SEEDS_PER_WIDTH = 2.0  # a drag across the whole image moves this far on the seed plane


def latent(scene: Scene, before: Point, after: Point, center: Point, width: float) -> Scene:
    """Move the latent on the seed plane by the mouse's motion; `width` is one image width in points."""
    scale = SEEDS_PER_WIDTH / width
    dx, dy = (after[0] - before[0]) * scale, (after[1] - before[1]) * scale
    return replace(scene, latent=move_latent(scene.latent, dx, dy))


def move(scene: Scene, before: Point, after: Point, center: Point, width: float) -> Scene:
    """Translate so that the image follows the mouse."""
    old = scene.transform
    x = old.translate_x + (after[0] - before[0]) / width
    y = old.translate_y + (after[1] - before[1]) / width
    new = replace(old, translate_x=clamp(FIELDS["translate_x"], x), translate_y=clamp(FIELDS["translate_y"], y))
    return replace(scene, transform=new)


def turn(scene: Scene, before: Point, after: Point, center: Point, width: float) -> Scene:
    """Rotate and scale about the image's center (translated with it), so that the image follows the mouse."""
    old = scene.transform
    pivot = center[0] + old.translate_x * width, center[1] + old.translate_y * width
    (ax, ay), (bx, by) = ((point[0] - pivot[0], point[1] - pivot[1]) for point in (before, after))
    near = 0.02 * width  # so close to the pivot the angle is too noisy
    if math.hypot(ax, ay) < near or math.hypot(bx, by) < near:
        return scene
    by_degrees = -math.degrees(math.atan2(ax * by - ay * bx, ax * bx + ay * by))  # y points down on a screen
    rotate = (old.rotate + by_degrees + 180) % 360 - 180
    scale = clamp(FIELDS["scale"], old.scale * math.hypot(bx, by) / math.hypot(ax, ay))
    return replace(scene, transform=replace(old, rotate=rotate, scale=scale))


TOOLS: dict[str, Drag | None] = {"latent": latent, "move": move, "turn": turn, "pan": None}
LABELS = {"latent": "Latent", "move": "Move", "turn": "Turn", "pan": "Pan"}


def readout(tool: str, scene: Scene) -> str:
    """The values that a drag changes, as text."""
    latent_, transform = scene.latent, scene.transform
    if tool == "latent":
        return f"seed {latent_.seed}   x {latent_.x:+.2f}   y {latent_.y:+.2f}".replace("-", "\N{MINUS SIGN}")
    if tool == "move":
        text = f"{transform.translate_x:+.3f}, {transform.translate_y:+.3f} widths"
        return text.replace("-", "\N{MINUS SIGN}")
    if tool == "turn":
        return f"{transform.rotate:+.1f}°   {transform.scale:.2f}×".replace("-", "\N{MINUS SIGN}")
    return ""
