"""The typeface of the window: Roboto, whose digits all have one width, so numbers do not tremble while they change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imgui_bundle import imgui

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "fonts"
FONT_SIZE = 14.0  # pixels at scale 1


@dataclass
class _Loaded:
    bold: imgui.ImFont | None = None


_loaded = _Loaded()


def load() -> None:
    """Put the fonts into the present imgui context; call once after it was created, before the first frame."""
    atlas = imgui.get_io().fonts
    regular = atlas.add_font_from_file_ttf(str(FOLDER / "Roboto-Regular.ttf"), FONT_SIZE)
    _loaded.bold = atlas.add_font_from_file_ttf(str(FOLDER / "Roboto-Bold.ttf"), FONT_SIZE)
    imgui.get_io().font_default = regular


def push_bold() -> None:
    """Write in bold until `imgui.pop_font()`; in the regular face where no fonts were loaded."""
    imgui.push_font(_loaded.bold, 0.0)
