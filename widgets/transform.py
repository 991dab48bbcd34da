"""Transform: translates, rotates and scales the network's input, and shows whether it is equivariant."""

from __future__ import annotations

from gui.controls import ui
from gui.panel import Panel, PanelContext
from session import Transform

NO_INPUT = "This network has no input that could be moved: the finished picture is moved instead."


def draw(value: Transform, context: PanelContext) -> Transform:
    value = ui.pair(value, ("translate_x", "translate_y"), "Move")
    value = ui.drag(value, "rotate", label="Turn")
    value = ui.slider(value, "scale")
    has_transform = context.model is None or context.model.has_transform
    value = ui.checkbox(
        value, "at_input", label="", text="Move the network's input", enabled=has_transform, why=NO_INPUT
    )
    value = ui.checkbox(value, "undo", label="", text="Undo in the picture")
    value = ui.checkbox(value, "whole_pixels", label="", text="Whole pixels only")
    if ui.section("Motion", meaning="What changes by itself while playing"):
        value = ui.drag(value, "drift_x", label="Glide x")
        value = ui.drag(value, "drift_y", label="Glide y")
        value = ui.drag(value, "spin")
        value = ui.drag(value, "growth")
    with ui.buttons(1):
        if ui.button(
            "Reset", "All of the transform to its default", enabled=value != Transform(), why="Nothing is set."
        ):
            return Transform()
    return value


panel = Panel("Transform", Transform, draw, meaning="Moves, turns and scales at the network's input")
