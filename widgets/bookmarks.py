"""Bookmarks: scenes worth seeing, as small pictures, and presets: ways of looking at whatever is on the canvas."""

from __future__ import annotations

from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Now, Panel
from session import Scene
from session.bookmarks import Kept, bookmarks, presets, with_bookmark, with_preset

SIDE = 6.5  # em: of a picture
BOOKMARK = "Goes there: network, seed, and everything that was set. Undo comes back."
PRESET = "Truncation, mixing, noise, motion and layer as here; network and seed stay. Undo comes back."


def draw(value: Scene, now: Now) -> Scene:
    here = value
    shelf = bookmarks()
    for number, kept in enumerate(shelf):
        if number:
            imgui.same_line(0, ui.em(0.75))
            if imgui.get_content_region_avail().x < ui.em(SIDE):
                imgui.new_line()
        if _picture(number, kept, here, now):
            value = with_bookmark(here, kept.scene)
    imgui.dummy((0, ui.em(0.2)))
    with ui.buttons(max(len(presets()), 1), wide=True):
        for kept in presets():
            if ui.button(kept.name, PRESET):
                value = with_preset(here, kept.scene)
    return value


def _picture(number: int, kept: Kept, here: Scene, now: Now) -> bool:
    """One bookmark, with its name below; whether it was pressed."""
    scene = with_bookmark(here, kept.scene)
    view = now.view(f"bookmark {number}", scene) if now.result else None  # the canvas comes first
    imgui.begin_group()
    corner, side = imgui.get_cursor_screen_pos(), ui.em(SIDE)
    pressed = imgui.invisible_button(f"bookmark {number}", (side, side))
    hovered = imgui.is_item_hovered()
    ui.mark(kept.name)
    ui.tooltip(BOOKMARK)
    paint, end = imgui.get_window_draw_list(), (corner.x + side, corner.y + side)
    if view is None:
        paint.add_rect_filled(corner, end, ui.colour("field"))
    else:
        paint.add_image(imgui.ImTextureRef(view.texture), corner, end)
    if hovered:
        paint.add_rect(corner, end, ui.colour("accent"), 0, max(1.5, ui.em(0.12)))
    imgui.text_colored(ui.tint("text" if hovered else "dim"), ui.shortened(kept.name, side))
    imgui.end_group()
    return pressed


panel = Panel("Bookmarks", Scene, draw, dock="bottom", meaning="Scenes worth seeing, and ways of looking")
