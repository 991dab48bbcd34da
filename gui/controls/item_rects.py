"""Where every control is on the screen in this frame, by name: "Truncation/psi", "Latent/Snap".

The tests' mouse aims by it, and whoever wants to bring a control into sight asks for it by the same name.
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
    """Forget the last frame's places; the app calls it before the first panel draws."""
    ITEM_RECTS.clear()


@contextmanager
def panel(title: str) -> Iterator[None]:
    """Everything drawn inside belongs to the panel of that title."""
    before, _frame.panel = _frame.panel, title
    imgui.push_id(title)
    try:
        yield
    finally:
        imgui.pop_id()
        _frame.panel = before


def item_path(name: str) -> str:
    """The full name of a control of the panel being drawn."""
    return f"{_frame.panel}/{name}" if _frame.panel else name


def register_item(name: str, rectangle: Rect | None = None) -> None:
    """Note where a control of the present panel is: by default, where the last item is."""
    if rectangle is None:
        low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        rectangle = (low.x, low.y, high.x, high.y)
    full = item_path(name)
    ITEM_RECTS[full] = rectangle
    if full == _frame.scroll_target:
        imgui.set_scroll_from_pos_y((rectangle[1] + rectangle[3]) / 2 - imgui.get_window_pos().y)
        _frame.scroll_target = ""


def scroll_to(full: str) -> None:
    """Scroll its panel so that a control ("Truncation/psi") comes into sight in the next frame."""
    _frame.scroll_target = full
