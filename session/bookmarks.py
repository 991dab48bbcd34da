"""Bookmarks, which are whole scenes, and presets, which are settings to apply to any scene.

Each is a session file in a folder, named by the file without its leading number ("2 Ringed giant.yaml").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from session import codec
from session.scene import Scene

SHIPPED_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "demo"  # shipped with the program


@dataclass(frozen=True)
class NamedScene:
    """A bookmark or preset."""

    name: str
    scene: Scene
    path: Path | None = None  # its file, of the user's own


@cache
def bookmarks(folder: Path = SHIPPED_FOLDER) -> tuple[NamedScene, ...]:
    """Return the bookmarks of a folder, read once. Raises SessionError, naming the file that cannot be read."""
    return _read(folder / "bookmarks")


@cache
def presets(folder: Path = SHIPPED_FOLDER) -> tuple[NamedScene, ...]:
    """Return the presets of a folder, read once. Raises SessionError, naming the file that cannot be read."""
    return _read(folder / "presets")


def with_preset(scene: Scene, preset: Scene) -> Scene:
    """Apply a preset to a scene; network, device, seed position and class stay."""
    speeds = {"drift_x": preset.latent.drift_x, "drift_y": preset.latent.drift_y}
    return replace(preset, model=scene.model, compute=scene.compute, latent=replace(scene.latent, **speeds))


def with_bookmark(scene: Scene, bookmark: Scene) -> Scene:
    """Return the bookmark's scene with the device and precision of the current one."""
    return replace(bookmark, compute=scene.compute)


def _read(folder: Path) -> tuple[NamedScene, ...]:
    paths = sorted(folder.glob("*.yaml"))
    return tuple(NamedScene(path.stem.lstrip("0123456789 "), codec.load(path).scene) for path in paths)
