"""Mixing: chosen layers take their style from a second seed."""

from __future__ import annotations

import math
from dataclasses import replace

from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Now, Panel
from renderer.messages import ModelInfo
from session import Mixing
from session.fields import describe

A_LINE = 9  # toggles in a line, at most
BANDS = ("Coarse", "Middle", "Fine")
MEANING = {
    "Coarse": "Pose, shape and layout",
    "Middle": "Features and smaller shapes",
    "Fine": "Colours and texture",
    "All": "Every layer: the second seed alone",
    "None": "No layer: the first seed alone",
}
NO_MODEL = "No network has loaded yet."


def draw(value: Mixing, now: Now) -> Mixing:
    mixed, why = bool(value.layers), "No layer is mixed: choose some below."
    value = ui.seed(value, "seed", label="Second seed")
    value = ui.drag(value, "x", label="Offset")
    value = ui.class_row(value, now.model)
    value = ui.drag(value, "drift", enabled=mixed, why=why)
    bands = _bands(now.model) if now.model else dict.fromkeys((*BANDS, "All", "None"), ())
    value = _toggles(value, now.model)
    with ui.buttons(5, wide=True):
        for name, rows in bands.items():
            on = now.model is not None and _within(value, now.model) == rows
            if ui.button(name, MEANING[name], enabled=now.model is not None, why=NO_MODEL, active=on and bool(rows)):
                value = replace(value, layers=rows)
    return value


def _toggles(value: Mixing, model: ModelInfo | None) -> Mixing:
    """One toggle for each row of w; pressing sets one, and drawing on paints the same over others."""
    names = model.row_names if model else ("",) * 16
    lines = math.ceil(len(names) / A_LINE)
    across = math.ceil(len(names) / lines)
    gap, height = 2.0, imgui.get_frame_height()
    corner, room = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
    width = (room - gap * (across - 1)) / across
    imgui.begin_disabled(model is None)
    imgui.invisible_button("rows", (max(room, 1), lines * (height + gap)))
    ui.mark("layers")
    held, store, key = imgui.is_item_active(), imgui.get_state_storage(), imgui.get_id("painting")
    mouse, under = imgui.get_mouse_pos(), -1
    chosen = set(value.layers)
    for index in range(len(names)):
        left = corner.x + index % across * (width + gap)
        top = corner.y + index // across * (height + gap)
        box = (left, top, left + width, top + height)
        ui.mark(f"layers {index}", box)
        if box[0] <= mouse.x < box[2] + gap and box[1] <= mouse.y < box[3] + gap:
            under = index
        _toggle(box, _size(model, index), index in chosen, imgui.is_item_hovered() and under == index)
    if imgui.is_item_hovered() and under >= 0 and not held:
        ui.tooltip(f"Row {under}: {names[under]}", "Draw over several to switch them together.")
    imgui.end_disabled()
    if model is None:
        return value
    if imgui.is_item_clicked(imgui.MouseButton_.right):
        return replace(value, layers=describe(Mixing)["layers"].default)
    if imgui.is_item_activated() and under >= 0:
        store.set_bool(key, under not in chosen)
    if held and under >= 0 and (under in chosen) != store.get_bool(key):
        chosen ^= {under}
        return replace(value, layers=tuple(sorted(chosen)))
    return value


def _toggle(box: tuple[float, float, float, float], text: str, on: bool, hovered: bool) -> None:
    draw, rounding = imgui.get_window_draw_list(), imgui.get_style().frame_rounding
    ground = "accent" if on else "field_hover" if hovered else "field"
    draw.add_rect_filled(box[:2], box[2:], ui.colour(ground), rounding)
    size = imgui.calc_text_size(text)
    place = ((box[0] + box[2] - size.x) // 2, (box[1] + box[3] - size.y) // 2)
    draw.add_text(place, ui.colour("on_accent" if on else "dim"), text)


def _size(model: ModelInfo | None, row: int) -> str:
    """The width of the last layer that reads a row of w."""
    sizes = [layer.width for layer in model.layers if row in layer.rows] if model else []
    return str(sizes[-1] if sizes else row)


def _bands(model: ModelInfo) -> dict[str, tuple[int, ...]]:
    """Rows of w by what they govern: by resolution where the network grows from 4 pixels, else in thirds.

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


def _within(value: Mixing, model: ModelInfo) -> tuple[int, ...]:
    return tuple(row for row in value.layers if row < model.num_ws)


panel = Panel("Mixing", Mixing, draw, meaning="Styles of a second seed in chosen layers")
