"""UI driver for tests and the demo: finds items by path and sends real mouse and key events.

driver = UiDriver(screen, app)
driver.drag("Truncation/psi", to=0.2)
driver.press("ctrl+z")
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from imgui_bundle import imgui

from gui.app import App
from gui.backend.headless import FRAME_SECONDS, Headless
from gui.controls import ui
from gui.controls.item_rects import Rect
from session.fields import Field, describe

Point = tuple[float, float]
PAD = 2.0  # pixels between a slider's frame and its grab
TIMEOUT = 30.0  # seconds that an image may take


class UiDriver:
    """Operates an app that is drawn off-screen. `on_frame()` is called after every frame."""

    def __init__(self, screen: Headless, app: App, on_frame: Callable[[], None] | None = None) -> None:
        self.screen, self.app = screen, app
        self.mouse: Point = (screen.width / 2, screen.height / 2)
        self.frame_seconds = FRAME_SECONDS  # imgui's delta time
        self._on_frame = on_frame

    def frames(self, count: int = 1) -> None:
        """Draw frames."""
        for _ in range(count):
            self.screen.frame(self.app, self.frame_seconds)
            if self._on_frame is not None:
                self._on_frame()

    def item_rect(self, name: str) -> Rect:
        """The rectangle of an item, after opening its panel and scrolling to it. Raises LookupError."""
        self._open_panel(name.partition("/")[0])
        if name not in ui.ITEM_RECTS:
            self.frames(2)
        if name not in ui.ITEM_RECTS:
            known_names = ", ".join(
                sorted(known for known in ui.ITEM_RECTS if known.startswith(name.partition("/")[0]))
            )
            raise LookupError(
                f"There is no control {name} on the screen; there are {known_names or 'none of that panel'}."
            )
        for _ in range(4):  # scrolling takes effect a frame later
            if self._is_visible(ui.ITEM_RECTS[name]):
                break
            ui.scroll_to(name)
            self.frames(2)
        return ui.ITEM_RECTS[name]

    def center(self, name: str) -> Point:
        """The center of an item."""
        left, top, right, bottom = self.item_rect(name)
        return (left + right) / 2, (top + bottom) / 2

    def move(self, to: Point, frames: int = 1) -> None:
        """Move the mouse to a point within some frames."""
        start = self.mouse
        for index in range(1, frames + 1):
            fraction = _ease(index / frames)
            self.mouse = (start[0] + (to[0] - start[0]) * fraction, start[1] + (to[1] - start[1]) * fraction)
            self.screen.move(*self.mouse)
            self.frames()

    def click(self, name: str, button: int = 0) -> None:
        """Click an item."""
        self.click_at(self.center(name), button)

    def click_at(self, point: Point, button: int = 0) -> None:
        """Click a point of the screen."""
        self.move(point)
        self.frames()
        self.screen.press(button)
        self.frames()
        self.screen.release(button)
        self.frames(2)

    def double_click(self, name: str) -> None:
        """Double-click an item."""
        self.move(self.center(name))
        for _ in range(2):
            self.screen.press()
            self.frames()
            self.screen.release()
            self.frames()
        self.frames()

    def drag(
        self, name: str, to: float | None = None, by: Point = (0.0, 0.0), frames: int = 8, button: int = 0
    ) -> None:
        """Drag an item: a slider `to` a value, anything else `by` an offset in pixels."""
        left, top, right, bottom = self.item_rect(name)
        start = ((left + right) / 2, (top + bottom) / 2)
        end = (start[0] + by[0], start[1] + by[1])
        if to is not None:
            field, value = self._field(name)
            start, end = ((slider_grab_x(field, number, left, right), start[1]) for number in (value, to))
        self.drag_between(start, end, frames, button)

    def drag_between(self, start: Point, end: Point, frames: int = 8, button: int = 0) -> None:
        """Press at one point and release at another."""
        self.move(start)
        self.screen.press(button)
        self.frames()
        self.move(end, frames)
        self.frames()
        self.screen.release(button)
        self.frames(2)

    def wheel(self, name: str, steps: float) -> None:
        """Turn the wheel over an item."""
        self.move(self.center(name))
        self.screen.wheel(steps)
        self.frames(2)

    def press(self, keys: str) -> None:
        """Press and release a key with its modifiers, as in "ctrl+z"."""
        self.screen.key(keys, True)
        self.frames()
        self.screen.key(keys, False)
        self.frames(2)

    def type(self, text: str) -> None:
        """Type into the focused text field."""
        self.screen.text(text)
        self.frames(2)

    def fill(self, name: str, text: str) -> None:
        """Replace the text of a field and press Enter."""
        self.click(name)
        self.press("ctrl+a")
        self.type(text)
        self.press("enter")

    def wait_until(self, what: Callable[[], bool], seconds: float = TIMEOUT) -> None:
        """Draw frames until `what()` is true. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                problem = self.app.views.canvas.problem
                raise TimeoutError(f"Waited {seconds:g} s in vain; {problem or 'the renderer tells of no problem'}.")
            self.frames()
            time.sleep(0.002)

    def wait_for_image(self, seconds: float = TIMEOUT) -> None:
        """Draw frames until the canvas shows the document's scene."""
        self.frames()
        self.wait_until(self._is_up_to_date, seconds)
        self.frames()

    def _is_up_to_date(self) -> bool:
        result = self.app.views.canvas.result
        is_idle = self.app.views.canvas.waiting_since is None and not self.app.views.awaiting_exact
        return result is not None and result.scene == self.app.scene and is_idle

    def _open_panel(self, title: str) -> None:
        panel = next((panel for panel in self.app.panels if panel.title == title), None)
        if panel is None or title in self.app.prefs.floating:
            return
        if panel.dock == "bottom" and self.app.prefs.drawer != title:
            self.click(f"Tabs/{title}")
        elif panel.dock != "bottom" and title in self.app.prefs.closed:
            ui.scroll_to(f"{title}/")
            self.frames(2)
            left, top, right, bottom = ui.ITEM_RECTS[f"{title}/"]
            self.click_at(((left + right) / 2, (top + bottom) / 2))

    def _is_visible(self, rectangle: Rect) -> bool:
        """Whether the center of an item is within the visible part of the window."""
        left, top, right, bottom = rectangle
        low, high = ui.em(1.6), self.screen.height - ui.em(3.2)
        return low <= (top + bottom) / 2 <= high and 0 <= (left + right) / 2 <= self.screen.width

    def _field(self, name: str) -> tuple[Field, float]:
        title, _, field = name.partition("/")
        panel = next(panel for panel in self.app.panels if panel.title == title)
        part = self.app.document.slice_of(panel.part)
        return describe(panel.part)[field], getattr(part, field)


def slider_grab_x(field: Field, value: float, left: float, right: float) -> float:
    """The x coordinate of a slider's grab at a value."""
    assert field.range is not None
    low, high = field.range.low, field.range.high
    fraction = (value - low) / (high - low)
    if field.range.log:
        fraction = math.log(value / low) / math.log(high / low)
    half = imgui.get_style().grab_min_size / 2
    return left + PAD + half + fraction * (right - left - 2 * PAD - 2 * half)


def _ease(fraction: float) -> float:
    """Smoothstep from 0 to 1."""
    return fraction * fraction * (3 - 2 * fraction)
