"""Latent: a map of the seed plane to drag on, the class, and drift."""

from __future__ import annotations

import math
from dataclasses import replace

from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Panel, PanelContext
from session import Latent
from session.scene import NUM_SEEDS, SEEDS_PER_ROW, bilinear_seeds, move_latent

HEIGHT = 9.5  # em, of the map
SPAN, CLOSEST, FARTHEST = 5.0, 1.5, 40.0  # seeds across the map
PROJECTED = "A projected file takes the place of the seed."
HELP = "Drag to move between seeds, click a seed to go there."
KEYS = "Shift: finer. Ctrl: whole seeds. Wheel: more or fewer seeds."


def draw(value: Latent, context: PanelContext) -> Latent:
    free = not value.projected
    value = _seed_map(value, free)
    value = ui.seed(value, "seed", enabled=free, why=PROJECTED)
    value = ui.pair(value, ("x", "y"), "Offset", enabled=free, why=PROJECTED)
    class_of_seed = context.result.shown_class if context.result and value.class_index is None else None
    value = ui.class_row(value, context.model, class_of_seed)
    value = ui.pair(value, ("drift_x", "drift_y"), "Drift", enabled=free, why=PROJECTED)
    with ui.buttons(3):
        ui.command_button(context, "edit.snap", label="Snap", enabled=free, why=PROJECTED)
        ui.command_button(context, "edit.random", label="Random", enabled=free, why=PROJECTED)
        ui.command_button(context, "view.play", label="Pause" if context.playing else "Play")
    if ui.section("Projected picture", open=False, meaning="A w that was found for a picture, in place of the seed"):
        value = ui.text(value, "projected", label="File", empty="none: the seed is used")
        why = "Only a projected file holds several w."
        value = ui.integer(value, "projected_index", label="Which w", enabled=not free, why=why)
    elif not free:
        ui.hint(f"From {value.projected}")
    return value


def _seed_map(value: Latent, enabled: bool) -> Latent:
    """Draw the map: seeds as dots, the position as a disc that follows the mouse and then returns to the middle."""
    store, keys = imgui.get_state_storage(), [imgui.get_id(f"pad {name}") for name in ("span", "x", "y", "dx", "dy")]
    span = store.get_float(keys[0], SPAN)
    offset, remainder = ((store.get_float(keys[i]), store.get_float(keys[i + 1])) for i in (1, 3))
    corner, width, height = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x, ui.em(HEIGHT)
    cell = max(width, 1.0) / span
    imgui.begin_disabled(not enabled)
    imgui.invisible_button("pad", (max(width, 1), height))
    imgui.end_disabled()
    ui.register_item("pad")
    box = (corner.x, corner.y, corner.x + width, corner.y + height)
    _draw_map(value, box, cell, offset, enabled)
    ui.tooltip(HELP if enabled else PROJECTED, KEYS if enabled else "")
    step, remainder = _mouse_step(value, box, cell, offset, remainder)
    if step != (0.0, 0.0):
        value = move_latent(value, *step)
        value = replace(value, x=round(value.x, 5) + 0.0, y=round(value.y, 5) + 0.0)
    if imgui.is_item_active():
        max_offset = (0.45 * span, 0.45 * height / cell)  # the disc stays on the map
        offset = tuple(min(max(o + s, -r), r) for o, s, r in zip(offset, step, max_offset, strict=True))
    else:
        offset = tuple(0.75 * (o + s) if abs(o + s) > 0.01 else 0.0 for o, s in zip(offset, step, strict=True))
    if enabled and imgui.is_item_hovered() and imgui.set_item_key_owner(imgui.Key.mouse_wheel_y):
        span = min(max(span * 1.15 ** -imgui.get_io().mouse_wheel, CLOSEST), FARTHEST)
    for key, number in zip(keys, (span, *offset, *remainder), strict=True):
        store.set_float(key, number)
    return value


Pair = tuple[float, float]


def _mouse_step(
    value: Latent, box: tuple[float, float, float, float], cell: float, offset: Pair, remainder: Pair
) -> tuple[Pair, Pair]:
    """How far the mouse moves the position in this frame, in seeds; and the remainder that Ctrl has not yet snapped."""
    io = imgui.get_io()
    if imgui.is_item_active() and imgui.is_mouse_dragging(imgui.MouseButton_.left):
        speed = (0.1 if io.key_shift else 1.0) / cell
        wanted = (remainder[0] + io.mouse_delta.x * speed, remainder[1] + io.mouse_delta.y * speed)
        if not io.key_ctrl:
            return wanted, (0.0, 0.0)
        snapped = (round(value.x + wanted[0]) - value.x, round(value.y + wanted[1]) - value.y)
        return snapped, (wanted[0] - snapped[0], wanted[1] - snapped[1])
    clicked = imgui.is_mouse_released(imgui.MouseButton_.left) and io.mouse_drag_max_distance_sqr[0] < 9
    if imgui.is_item_deactivated() and clicked and imgui.is_item_hovered():
        middle, mouse = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), imgui.get_mouse_pos()
        x = value.x + (mouse.x - middle[0]) / cell - offset[0]
        y = value.y + (mouse.y - middle[1]) / cell - offset[1]
        if abs(x - round(x)) < 0.3 and abs(y - round(y)) < 0.3:
            x, y = round(x), round(y)
        return (x - value.x, y - value.y), (0.0, 0.0)
    return (0.0, 0.0), (0.0, 0.0)


def _draw_map(value: Latent, box: tuple[float, float, float, float], cell: float, offset: Pair, enabled: bool) -> None:
    draw = imgui.get_window_draw_list()
    draw.push_clip_rect(box[:2], box[2:], True)
    draw.add_rect_filled(box[:2], box[2:], ui.color("field"), imgui.get_style().frame_rounding)
    x0, y0 = (box[0] + box[2]) / 2 + (offset[0] - value.x) * cell, (box[1] + box[3]) / 2 + (offset[1] - value.y) * cell
    columns = range(int((box[0] - x0) // cell), int((box[2] - x0) // cell) + 2)
    lines = range(int((box[1] - y0) // cell), int((box[3] - y0) // cell) + 2)
    weights = dict(bilinear_seeds(value.seed, value.x, value.y))
    every = max(1, math.ceil(ui.em(3.2) / cell))
    max_offset = every * cell - ui.em(0.6)
    radius = ui.em(1) * min(0.16, 0.06 + 0.0025 * cell)
    for row in lines:
        for column in columns:
            seed, x, y = (value.seed + column + SEEDS_PER_ROW * row) % NUM_SEEDS, x0 + column * cell, y0 + row * cell
            weight = weights.get(seed, 0.0) if enabled else 0.0
            draw.add_circle_filled((x, y), radius * (1 + 0.8 * weight), ui.color("text" if weight else "faint"))
            if column % every == 0 and cell > ui.em(1.6) and y + ui.em(1.3) < box[3]:  # not cut off by the edge
                text = str(seed) if imgui.calc_text_size(str(seed)).x <= max_offset else f"…{seed % 1000:03}"
                item_name = (round(x - imgui.calc_text_size(text).x / 2), round(y + ui.em(0.3)))
                draw.add_text(item_name, ui.color("dim" if weight else "faint"), text)
    if enabled:
        position = ((box[0] + box[2]) / 2 + offset[0] * cell, (box[1] + box[3]) / 2 + offset[1] * cell)
        draw.add_circle(position, ui.em(0.5), ui.color("accent"), 0, max(1.5, ui.em(0.12)))
        draw.add_circle_filled(position, ui.em(0.18), ui.color("accent"))
    draw.pop_clip_rect()


panel = Panel("Latent", Latent, draw, meaning="Which picture: a place on the plane of seeds")
