"""Capture: saves the image or the whole window as PNG."""

from __future__ import annotations

from gui.controls import ui
from gui.panel import Panel, PanelContext
from session import Scene


def draw(value: Scene, context: PanelContext) -> Scene:
    with ui.buttons(2, full_width=True):
        ui.command_button(
            context, "capture.picture", enabled=context.result is not None, why="There is no picture yet."
        )
        ui.command_button(context, "capture.window")
    if context.result is not None:
        height, width = context.result.size
        ui.key_value("Size", f"{width} × {height} pixels")
    else:
        ui.key_value("Size", "")
    folder, last = str(context.settings.get("capture_folder") or ""), str(context.settings.get("last_saved") or "")
    ui.key_value("Folder", folder, folder)
    ui.key_value("Last saved", last.replace("\\", "/").rpartition("/")[2], last)
    return value


panel = Panel("Capture", Scene, draw, dock="bottom", meaning="Saves what you see")
