"""Capture: saves the picture or the whole window as PNG."""

from __future__ import annotations

from gui.controls import ui
from gui.panel import Now, Panel
from session import Scene


def draw(value: Scene, now: Now) -> Scene:
    with ui.buttons(2, wide=True):
        ui.command_button(now, "capture.picture", enabled=now.result is not None, why="There is no picture yet.")
        ui.command_button(now, "capture.window")
    if now.result is not None:
        height, width = now.result.size
        ui.fact("Size", f"{width} × {height} pixels")
    else:
        ui.fact("Size", "")
    folder, last = str(now.settings.get("capture_folder") or ""), str(now.settings.get("last_saved") or "")
    ui.fact("Folder", folder, folder)
    ui.fact("Last saved", last.replace("\\", "/").rpartition("/")[2], last)
    return value


panel = Panel("Capture", Scene, draw, dock="bottom", meaning="Saves what you see")
