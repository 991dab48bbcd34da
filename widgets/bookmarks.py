"""Bookmarks: saved scenes as thumbnails, and presets that apply to the current network and seed."""

from __future__ import annotations

from pathlib import Path

from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Panel, PanelContext
from session import Scene
from session.bookmarks import NamedScene, bookmarks, presets, with_bookmark, with_preset
from session.own_bookmarks import own_bookmarks

THUMBNAIL = 6.5  # em: side of a thumbnail
BOOKMARK = "Goes there: network, seed, and everything that was set. Undo comes back."
OWN = BOOKMARK + " Right-click to rename, move or delete it."
PRESET = "Truncation, mixing, noise, motion and layer as here; network and seed stay. Undo comes back."


def draw(value: Scene, context: PanelContext) -> Scene:
    current = value
    folder = context.settings.get("bookmarks_folder")
    own, problems = own_bookmarks(Path(folder)) if folder else ((), ())
    for number, entry in enumerate((*bookmarks(), *own)):
        if number:
            _next_place()
        if _thumbnail(number, entry, current, context):
            value = with_bookmark(current, entry.scene)
        if entry.path is not None:
            _menu(entry.name, entry.path, context)
    _next_place()
    if _add_button():
        context.post_command("bookmark.add")
    for problem in problems:
        ui.problem(problem)
    imgui.dummy((0, ui.em(0.2)))
    with ui.buttons(max(len(presets()), 1), full_width=True):
        for entry in presets():
            if ui.button(entry.name, PRESET):
                value = with_preset(current, entry.scene)
    return value


def _next_place() -> None:
    """Continue in the row of thumbnails, or begin a new row."""
    imgui.same_line(0, ui.em(0.75))
    if imgui.get_content_region_avail().x < ui.em(THUMBNAIL):
        imgui.new_line()


def _add_button() -> bool:
    """Draw the tile that keeps the present scene."""
    side = ui.em(THUMBNAIL)
    imgui.begin_group()
    pressed = imgui.button("+##add", (side, side))
    ui.register_item("add")
    ui.tooltip("Keeps this scene among your own bookmarks (B).")
    imgui.text_colored(ui.color_vec("dim"), "Add")
    imgui.end_group()
    return pressed


def _menu(name: str, path: Path, context: PanelContext) -> None:
    """Draw the menu of one's own bookmark: its name to edit, its place, and its end."""
    if not imgui.begin_popup_context_item(f"menu {path.name}"):
        return
    imgui.set_next_item_width(ui.em(14))
    if imgui.is_window_appearing():
        imgui.set_keyboard_focus_here()
    entered, text = imgui.input_text("##name", name, imgui.InputTextFlags_.enter_returns_true)
    ui.register_item("name")
    if entered and text.strip():
        context.post_command("bookmark.rename", path, text)
        imgui.close_current_popup()
    for label, command, arguments in (
        ("Move left", "bookmark.reorder", (path, -1)),
        ("Move right", "bookmark.reorder", (path, 1)),
        ("Delete", "bookmark.delete", (path,)),
    ):
        if imgui.selectable(label, False)[0]:
            context.post_command(command, *arguments)
        ui.register_item(label)
    imgui.end_popup()


def _thumbnail(number: int, entry: NamedScene, current: Scene, context: PanelContext) -> bool:
    """Draw one bookmark with its name; return whether it was pressed."""
    scene = with_bookmark(current, entry.scene)
    view = context.request_view(f"bookmark {number}", scene) if context.result else None  # the canvas is rendered first
    imgui.begin_group()
    corner, side = imgui.get_cursor_screen_pos(), ui.em(THUMBNAIL)
    pressed = imgui.invisible_button(f"bookmark {number}", (side, side))
    hovered = imgui.is_item_hovered()
    ui.register_item(entry.name)
    ui.tooltip(BOOKMARK if entry.path is None else OWN)
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
