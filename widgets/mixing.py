"""Mixing: chosen layers take their style from a second seed."""

from __future__ import annotations

import math
from dataclasses import replace

from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Panel, PanelContext
from renderer.messages import ModelInfo
from session import Mixing
from session.fields import describe

TOGGLES_PER_LINE = 9  # at most
BANDS = ("Coarse", "Middle", "Fine")
MEANING = {
    "Coarse": "Pose, shape and layout",
    "Middle": "Features and smaller shapes",
    "Fine": "Colours and texture",
    "All": "Every layer: the second seed alone",
    "None": "No layer: the first seed alone",
}
NO_MODEL = "No network has loaded yet."


def draw(value: Mixing, context: PanelContext) -> Mixing:
    mixed, why = bool(value.layers), "No layer is mixed: choose some below."
    value = ui.seed(value, "seed", label="Second seed")
    value = ui.drag(value, "x", label="Offset")
    value = ui.class_row(value, context.model)
    value = ui.drag(value, "drift", enabled=mixed, why=why)
    bands = _bands(context.model) if context.model else dict.fromkeys((*BANDS, "All", "None"), ())
    value = _toggles(value, context.model)
    with ui.buttons(5, full_width=True):
        for name, rows in bands.items():
            active = context.model is not None and _mixed_rows(value, context.model) == rows
            if ui.button(
                name, MEANING[name], enabled=context.model is not None, why=NO_MODEL, active=active and bool(rows)
            ):
                value = replace(value, layers=rows)
    return value


def _toggles(value: Mixing, model: ModelInfo | None) -> Mixing:
    """Draw one toggle for each row of w; a press switches one, and dragging on sets the others to the same state."""
    names = model.row_names if model else ("",) * 16
    lines = math.ceil(len(names) / TOGGLES_PER_LINE)
    per_line = math.ceil(len(names) / lines)
    gap, height = 2.0, imgui.get_frame_height()
    corner, available = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
    width = (available - gap * (per_line - 1)) / per_line
    imgui.begin_disabled(model is None)
    imgui.invisible_button("rows", (max(available, 1), lines * (height + gap)))
    ui.register_item("layers")
    active, store, key = imgui.is_item_active(), imgui.get_state_storage(), imgui.get_id("painting")
    mouse, hovered_row = imgui.get_mouse_pos(), -1
    chosen = set(value.layers)
    for index in range(len(names)):
        left = corner.x + index % per_line * (width + gap)
        top = corner.y + index // per_line * (height + gap)
        box = (left, top, left + width, top + height)
        ui.register_item(f"layers {index}", box)
        if box[0] <= mouse.x < box[2] + gap and box[1] <= mouse.y < box[3] + gap:
            hovered_row = index
        _draw_toggle(box, _layer_width(model, index), index in chosen, imgui.is_item_hovered() and hovered_row == index)
    if imgui.is_item_hovered() and hovered_row >= 0 and not active:
        ui.tooltip(f"Row {hovered_row}: {names[hovered_row]}", "Draw over several to switch them together.")
    imgui.end_disabled()
    if model is None:
        return value
    if imgui.is_item_clicked(imgui.MouseButton_.right):
        return replace(value, layers=describe(Mixing)["layers"].default)
    if imgui.is_item_activated() and hovered_row >= 0:
        store.set_bool(key, hovered_row not in chosen)
    if active and hovered_row >= 0 and (hovered_row in chosen) != store.get_bool(key):
        chosen ^= {hovered_row}
        return replace(value, layers=tuple(sorted(chosen)))
    return value


def _draw_toggle(box: tuple[float, float, float, float], text: str, active: bool, hovered: bool) -> None:
    draw, rounding = imgui.get_window_draw_list(), imgui.get_style().frame_rounding
    background = "accent" if active else "field_hover" if hovered else "field"
    draw.add_rect_filled(box[:2], box[2:], ui.color(background), rounding)
    size = imgui.calc_text_size(text)
    item_name = ((box[0] + box[2] - size.x) // 2, (box[1] + box[3] - size.y) // 2)
    draw.add_text(item_name, ui.color("on_accent" if active else "dim"), text)


def _layer_width(model: ModelInfo | None, row: int) -> str:
    """The width of the last layer that reads a row of w."""
    sizes = [layer.width for layer in model.layers if row in layer.rows] if model else []
    return str(sizes[-1] if sizes else row)


def _bands(model: ModelInfo) -> dict[str, tuple[int, ...]]:
    """Groups of rows of w: by resolution where the network grows from 4 pixels, else in thirds.

    Coarse is up to 8, middle up to 32 pixels, fine the rest (Karras et al. 2019, section 3.1).
    """
    rows = tuple(range(model.num_ws))
    widths = [max((layer.width for layer in model.layers if row in layer.rows), default=0) for row in rows]
    if widths and 0 < min(widths) <= 8:
        band = [0 if width <= 8 else 1 if width <= 32 else 2 for width in widths]
    else:
        band = [3 * row // max(len(rows), 1) for row in rows]
    chosen = {name: tuple(row for row in rows if band[row] == index) for index, name in enumerate(BANDS)}
    return {**chosen, "All": rows, "None": ()}


def _mixed_rows(value: Mixing, model: ModelInfo) -> tuple[int, ...]:
    return tuple(row for row in value.layers if row < model.num_ws)


panel = Panel("Mixing", Mixing, draw, meaning="Styles of a second seed in chosen layers")
