"""The fonts of the window: Roboto, whose digits have equal widths, so that changing numbers do not shift."""

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
    """Add the fonts to the current imgui context; call once after it was created, before the first frame."""
    atlas = imgui.get_io().fonts
    regular = atlas.add_font_from_file_ttf(str(FOLDER / "Roboto-Regular.ttf"), FONT_SIZE)
    _loaded.bold = atlas.add_font_from_file_ttf(str(FOLDER / "Roboto-Bold.ttf"), FONT_SIZE)
    imgui.get_io().font_default = regular


def push_bold() -> None:
    """Switch to bold until `imgui.pop_font()`; stays regular where no fonts were loaded."""
    imgui.push_font(_loaded.bold, 0.0)
