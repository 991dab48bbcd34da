"""Bookmarks: saved scenes as thumbnails, and presets that apply to the current network and seed."""

from __future__ import annotations

from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Panel, PanelContext
from session import Scene
from session.bookmarks import NamedScene, bookmarks, presets, with_bookmark, with_preset

THUMBNAIL = 6.5  # em: side of a thumbnail
BOOKMARK = "Goes there: network, seed, and everything that was set. Undo comes back."
PRESET = "Truncation, mixing, noise, motion and layer as here; network and seed stay. Undo comes back."


def draw(value: Scene, context: PanelContext) -> Scene:
    current = value
    entries = bookmarks()
    for number, entry in enumerate(entries):
        if number:
            imgui.same_line(0, ui.em(0.75))
            if imgui.get_content_region_avail().x < ui.em(THUMBNAIL):
                imgui.new_line()
        if _thumbnail(number, entry, current, context):
            value = with_bookmark(current, entry.scene)
    imgui.dummy((0, ui.em(0.2)))
    with ui.buttons(max(len(presets()), 1), full_width=True):
        for entry in presets():
            if ui.button(entry.name, PRESET):
                value = with_preset(current, entry.scene)
    return value


def _thumbnail(number: int, entry: NamedScene, current: Scene, context: PanelContext) -> bool:
    """Draw one bookmark with its name; return whether it was pressed."""
    scene = with_bookmark(current, entry.scene)
    view = context.request_view(f"bookmark {number}", scene) if context.result else None  # the canvas is rendered first
    imgui.begin_group()
    corner, side = imgui.get_cursor_screen_pos(), ui.em(THUMBNAIL)
    pressed = imgui.invisible_button(f"bookmark {number}", (side, side))
    hovered = imgui.is_item_hovered()
    ui.register_item(entry.name)
    ui.tooltip(BOOKMARK)
    draw_list, end = imgui.get_window_draw_list(), (corner.x + side, corner.y + side)
    if view is None:
        draw_list.add_rect_filled(corner, end, ui.color("field"))
    else:
        draw_list.add_image(imgui.ImTextureRef(view.texture), corner, end)
    if hovered:
        draw_list.add_rect(corner, end, ui.color("accent"), 0, max(1.5, ui.em(0.12)))
    imgui.text_colored(ui.color_vec("text" if hovered else "dim"), ui.elide_middle(entry.name, side))
    imgui.end_group()
    return pressed


panel = Panel("Bookmarks", Scene, draw, dock="bottom", meaning="Scenes worth seeing, and ways of looking")
