"""Toasts: short messages in the corner of the canvas that disappear by themselves; errors stay longer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imgui_bundle import imgui

from gui.controls import ui
from gui.style import theme

SECONDS = {"note": 4.0, "warning": 8.0, "error": 12.0}
COLORS = {"note": "dim", "warning": "amber", "error": "red"}
MAX_TOASTS = 4
WIDTH = 26.0  # em
FADE = 0.4  # seconds


@dataclass(frozen=True)
class Toast:
    """One message; `details` can be copied, `left` is the number of seconds it stays."""

    text: str
    kind: str = "note"
    details: str = ""
    left: float = 4.0


class Toasts:
    """The visible toasts, oldest first."""

    def __init__(self) -> None:
        self.shown: tuple[Toast, ...] = ()

    def show(self, text: str, kind: str = "note", details: str = "") -> None:
        """Show a message; a message that is shown already stays longer."""
        others = tuple(toast for toast in self.shown if toast.text != text)
        self.shown = (*others, Toast(text, kind, details, SECONDS[kind]))[-MAX_TOASTS:]

    def draw(self, low: tuple[float, float], high: tuple[float, float], seconds: float) -> None:
        """Draw the toasts within the rectangle from `low` to `high`, upwards from its lower right corner."""
        gap, bottom = ui.em(0.75), high[1] - ui.em(0.75)
        remaining: list[Toast] = []
        for index, toast in reversed(list(enumerate(self.shown))):
            height, hovered, closed = self._draw_toast(index, toast, (high[0] - gap, bottom))
            bottom -= height + ui.em(0.5)
            left = toast.left if hovered else toast.left - seconds
            if left > 0 and not closed and bottom > low[1]:
                remaining.append(replace(toast, left=left))
        self.shown = tuple(reversed(remaining))

    def _draw_toast(self, index: int, toast: Toast, corner: tuple[float, float]) -> tuple[float, bool, bool]:
        """Draw one toast with its lower right corner at `corner`; return its height, hovered, closed."""
        imgui.set_next_window_pos(corner, imgui.Cond_.always, (1, 1))
        imgui.set_next_window_size((ui.em(WIDTH), 0))
        imgui.push_style_var(imgui.StyleVar_.alpha, min(1.0, toast.left / FADE))
        imgui.push_style_var(imgui.StyleVar_.window_padding, (ui.em(0.9), ui.em(0.6)))
        imgui.push_style_var(imgui.StyleVar_.window_rounding, ui.em(0.3))
        imgui.push_style_color(imgui.Col_.window_bg, theme.color_vec("popup"))
        flags = (
            imgui.WindowFlags_.no_decoration
            | imgui.WindowFlags_.no_docking
            | imgui.WindowFlags_.no_move
            | imgui.WindowFlags_.no_saved_settings
            | imgui.WindowFlags_.no_focus_on_appearing
            | imgui.WindowFlags_.no_nav
        )
        imgui.begin(f"##toast{index}", None, flags)
        imgui.internal.bring_window_to_display_front(imgui.internal.get_current_window())
        closed = self._draw_contents(toast)
        hovered = imgui.is_window_hovered(imgui.HoveredFlags_.child_windows)
        low, size = imgui.get_window_pos(), imgui.get_window_size()
        bar = (low.x + ui.em(0.2), low.y + size.y)
        imgui.get_window_draw_list().add_rect_filled(low, bar, theme.color(COLORS[toast.kind]))
        imgui.end()
        imgui.pop_style_color()
        imgui.pop_style_var(3)
        return size.y, hovered, closed

    def _draw_contents(self, toast: Toast) -> bool:
        imgui.push_text_wrap_pos(0)
        imgui.text_unformatted(toast.text)
        imgui.pop_text_wrap_pos()
        if not toast.details and toast.kind == "note":
            return imgui.is_window_hovered() and imgui.is_mouse_clicked(0)
        imgui.push_style_color(imgui.Col_.button, (0, 0, 0, 0))
        imgui.push_style_color(imgui.Col_.text, theme.color_vec("dim"))
        if toast.details:
            if imgui.small_button("Copy details"):
                imgui.set_clipboard_text(f"{toast.text}\n\n{toast.details}")
            ui.register_item("Toast/Copy details")
            imgui.same_line()
        closed = imgui.small_button("Close")
        ui.register_item("Toast/Close")
        imgui.pop_style_color(2)
        return closed
