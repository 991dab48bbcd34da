"""The status bar at the bottom: device, image rate, and the time of each stage."""

from __future__ import annotations

from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import PanelContext
from gui.style import theme

STAGES = ("mapping", "synthesis", "picture", "upload")


def draw(context: PanelContext) -> None:
    """Draw the bar at the cursor; numbers are in fixed columns so that nothing shifts."""
    imgui.set_cursor_pos((imgui.get_cursor_pos_x() + ui.em(0.6), imgui.get_cursor_pos_y() + ui.em(0.2)))
    model, result = context.model, context.result
    if model is None or result is None:
        _text("Starting…" if not context.problem else context.problem)
        return
    _text(f"{model.device} · {model.precision}")
    _column(f"{context.performance.images_per_second:.0f} pictures/s", 6.6)
    for stage in STAGES:
        ring = context.performance.stages.get(stage)
        milliseconds = float(ring[-1]) if ring is not None and len(ring) else 0.0
        _column(f"{stage} {milliseconds:.1f} ms", 7.6 if stage == "synthesis" else 6.8)
    if context.problem:
        imgui.same_line(0, ui.em(1.2))
        imgui.text_colored(theme.color_vec("amber"), context.problem)
        ui.register_item("Status/problem")
    elif model.note:
        imgui.same_line(0, ui.em(1.2))
        imgui.text_colored(theme.color_vec("faint"), model.note)
        ui.register_item("Status/note")


def _text(text: str) -> None:
    imgui.text_colored(theme.color_vec("dim"), text)


def _column(text: str, width: float) -> None:
    """Draw a cell as wide as its largest number."""
    imgui.same_line(0, ui.em(1.2))
    start = imgui.get_cursor_pos_x()
    _text(text)
    imgui.same_line(start + ui.em(width))
    imgui.dummy((0, 0))
