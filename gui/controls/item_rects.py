"""Where every control is on the screen in this frame, by name: "Truncation/psi", "Latent/Snap".

The tests' mouse aims by it, and whoever wants to bring a control into sight asks for it by the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imgui_bundle import imgui

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom in screen pixels

PLACES: dict[str, Rectangle] = {}


@dataclass
class _Frame:
    panel: str = ""
    wanted: str = ""


_frame = _Frame()


def begin_frame() -> None:
    """Forget the last frame's places; the app calls it before the first panel draws."""
    PLACES.clear()


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


def place(name: str) -> str:
    """The full name of a control of the panel being drawn."""
    return f"{_frame.panel}/{name}" if _frame.panel else name


def mark(name: str, rectangle: Rectangle | None = None) -> None:
    """Note where a control of the present panel is: by default, where the last item is."""
    if rectangle is None:
        low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        rectangle = (low.x, low.y, high.x, high.y)
    full = place(name)
    PLACES[full] = rectangle
    if full == _frame.wanted:
        imgui.set_scroll_from_pos_y((rectangle[1] + rectangle[3]) / 2 - imgui.get_window_pos().y)
        _frame.wanted = ""


def reveal(full: str) -> None:
    """Scroll its panel so that a control ("Truncation/psi") comes into sight in the next frame."""
    _frame.wanted = full
