"""What stands ready to be chosen: bookmarks, which are whole scenes, and presets, ways of looking at any place.

Each is a session file in a folder; its name is the file's, without the number that orders it ("2 Ringed giant.yaml").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from session import codec
from session.scene import Scene

SHIPPED_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "demo"  # what comes with the program


@dataclass(frozen=True)
class NamedScene:
    """A scene with its name."""

    name: str
    scene: Scene
    path: Path | None = None  # its file, of the user's own


@cache
def bookmarks(folder: Path = SHIPPED_FOLDER) -> tuple[NamedScene, ...]:
    """Read once. Raises SessionError, naming the file that cannot be read."""
    return _read(folder / "bookmarks")


@cache
def presets(folder: Path = SHIPPED_FOLDER) -> tuple[NamedScene, ...]:
    """Read once. Raises SessionError, naming the file that cannot be read."""
    return _read(folder / "presets")


def with_preset(scene: Scene, preset: Scene) -> Scene:
    """The scene looked at and moved as the preset does; network, device, place and class stay."""
    speeds = {"drift_x": preset.latent.drift_x, "drift_y": preset.latent.drift_y}
    return replace(preset, model=scene.model, compute=scene.compute, latent=replace(scene.latent, **speeds))


def with_bookmark(scene: Scene, bookmark: Scene) -> Scene:
    """The bookmark's scene, computed where the present one is."""
    return replace(bookmark, compute=scene.compute)


def _read(folder: Path) -> tuple[NamedScene, ...]:
    found = sorted(folder.glob("*.yaml"))
    return tuple(NamedScene(path.stem.lstrip("0123456789 "), codec.load(path).scene) for path in found)
