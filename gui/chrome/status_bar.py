"""The status bar at the bottom: device, image rate, the time of each stage, and the pixel under the cursor."""

from __future__ import annotations

from imgui_bundle import imgui

from gui.canvas import pixel_probe
from gui.controls import ui
from gui.panel import PanelContext
from gui.style import theme

STAGES = ("mapping", "synthesis", "picture", "upload")


def draw(context: PanelContext, probe: pixel_probe.Pixel | None = None) -> None:
    """Draw the bar at the cursor; numbers are in fixed columns so that nothing shifts.

    At its right stands what is known of the pixel `probe`; where the bar is narrow, the times of stages give way.
    """
    edge = imgui.get_window_width() - ui.em(0.6)
    imgui.set_cursor_pos((imgui.get_cursor_pos_x() + ui.em(0.6), imgui.get_cursor_pos_y() + ui.em(0.2)))
    model, result = context.model, context.result
    if model is None or result is None:
        _text("Starting…" if not context.problem else ui.elide_middle(context.problem, edge - ui.em(0.6)))
        return
    line = imgui.get_cursor_pos_y()
    if probe is not None and (text := pixel_probe.text(probe, result)):
        start = imgui.get_cursor_pos_x()
        text = ui.elide_middle(text, edge - start)
        edge -= imgui.calc_text_size(text).x
        imgui.set_cursor_pos_x(edge)
        imgui.text_colored(theme.color_vec("text"), text)
        ui.register_item("Status/probe")
        edge -= ui.em(1.2)
        imgui.set_cursor_pos((start, line))
    cells = [(f"{model.device} · {model.precision}", 0.0)]
    cells.append((f"{context.performance.images_per_second:.0f} pictures/s", 6.6))
    for stage in STAGES:
        ring = context.performance.stages.get(stage)
        milliseconds = float(ring[-1]) if ring is not None and len(ring) else 0.0
        cells.append((f"{stage} {milliseconds:.1f} ms", 7.6 if stage == "synthesis" else 6.8))
    note, color = (context.problem, "amber") if context.problem else (model.note, "faint")
    if note:  # a problem comes before the times
        cells = cells[:1] if context.problem else cells
    left = imgui.get_cursor_pos_x()
    for text, em in cells:
        width = max(imgui.calc_text_size(text).x, ui.em(em))
        if left + width > edge:
            return
        imgui.set_cursor_pos((left, line))
        _text(text)
        left += width + ui.em(1.2)
    if note and edge - left > ui.em(4):
        imgui.set_cursor_pos((left, line))
        shown = ui.elide_middle(note, edge - left)
        imgui.text_colored(theme.color_vec(color), shown)
        ui.register_item("Status/problem" if context.problem else "Status/note")
        if shown != note:
            ui.tooltip(note)


def _text(text: str) -> None:
    imgui.text_colored(theme.color_vec("dim"), text)
