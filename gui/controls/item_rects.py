"""The rectangle of every item on screen in this frame, by path: "Truncation/psi", "Latent/Snap".

The UI driver finds items by it, and `scroll_to` takes the same paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imgui_bundle import imgui

Rect = tuple[float, float, float, float]  # left, top, right, bottom in screen pixels

ITEM_RECTS: dict[str, Rect] = {}


@dataclass
class _Frame:
    panel: str = ""
    scroll_target: str = ""


_frame = _Frame()


def begin_frame() -> None:
    """Forget the rectangles of the last frame; called before the first panel is drawn."""
    ITEM_RECTS.clear()


@contextmanager
def panel(title: str) -> Iterator[None]:
    """Prefix the paths of the items drawn inside with the panel's title."""
    before, _frame.panel = _frame.panel, title
    imgui.push_id(title)
    try:
        yield
    finally:
        imgui.pop_id()
        _frame.panel = before


def item_path(name: str) -> str:
    """The path of an item of the panel that is being drawn."""
    return f"{_frame.panel}/{name}" if _frame.panel else name


def register_item(name: str, rectangle: Rect | None = None) -> None:
    """Register the rectangle of an item of the current panel, by default that of imgui's last item."""
    if rectangle is None:
        low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        rectangle = (low.x, low.y, high.x, high.y)
    full = item_path(name)
    ITEM_RECTS[full] = rectangle
    if full == _frame.scroll_target:
        imgui.set_scroll_from_pos_y((rectangle[1] + rectangle[3]) / 2 - imgui.get_window_pos().y)
        _frame.scroll_target = ""


def scroll_to(full: str) -> None:
    """Scroll to an item ("Truncation/psi") in the next frame."""
    _frame.scroll_target = full
