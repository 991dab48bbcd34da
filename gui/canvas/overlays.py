"""Temporary overlays of the canvas: keys, about, the first hint, progress of a network that is loading."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Callable

import imgui_bundle
from imgui_bundle import imgui

from gui.canvas.viewport import Box
from gui.chrome.shortcuts import key_label
from gui.commands import COMMANDS
from gui.controls import ui
from gui.panel import PanelContext
from gui.style import theme
from renderer.messages import RenderProgress

HINT = "Drag the picture to explore.  Scroll to zoom.  F1 shows all keys."
GROUPS = {
    "file": "Files",
    "edit": "Editing",
    "view": "View",
    "tool": "Dragging on the picture",
    "capture": "Saving",
    "bookmark": "Bookmarks",
    "help": "Help",
}
MOUSE = (
    ("Wheel", "Zoom at the cursor"),
    ("Middle button", "Drag the canvas"),
    ("Double click", "Fit the picture"),
    ("Right click on a value", "Back to its default"),
    ("Ctrl+click on a value", "Type a number"),
    ("Arrow keys on a value", "One step; with Shift ten"),
    ("Esc", "Leave a tool, a dialog, or the picture alone"),
)


def draw_hint(box: Box) -> None:
    """Show how to start, until the first input."""
    ui.register_item("Hint", draw_line(box, HINT))


def draw_line(box: Box, text: str) -> tuple[float, float, float, float]:
    """Draw one line of text at the bottom of the canvas; return its rectangle."""
    size, pad = imgui.calc_text_size(text), ui.em(0.7)
    low = (round(box[0] + (box[2] - size.x) / 2 - pad), round(box[1] + box[3] - size.y - 2.4 * pad))
    high = (low[0] + size.x + 2 * pad, low[1] + size.y + 1.2 * pad)
    draw = imgui.get_window_draw_list()
    draw.add_rect_filled(low, high, theme.color("popup", 0.88), ui.em(0.4))
    draw.add_text((low[0] + pad, low[1] + 0.6 * pad), theme.color("text"), text)
    return (*low, *high)


def draw_corner_label(box: Box, text: str) -> None:
    """Draw a label in the upper right corner of the canvas."""
    size, pad = imgui.calc_text_size(text), ui.em(0.4)
    low = (round(box[0] + box[2] - size.x - 4 * pad), round(box[1] + 2 * pad))
    high = (low[0] + size.x + 2 * pad, low[1] + size.y + pad)
    draw = imgui.get_window_draw_list()
    draw.add_rect_filled(low, high, theme.color("popup", 0.88), ui.em(0.3))
    draw.add_text((low[0] + pad, low[1] + 0.5 * pad), theme.color("dim"), text)
    ui.register_item(text, (*low, *high))


def draw_waiting(box: Box, context: PanelContext, cancel: Callable[[], None] | None) -> None:
    """Draw the progress of loading; without an image yet, the state or the problem in the middle of the canvas."""
    if context.progress is not None:
        _progress(box, context.progress, cancel)
    elif context.result is None:
        text = context.problem or "Starting…"
        width = min(ui.em(30), box[2] - ui.em(2))
        size = imgui.calc_text_size(text, wrap_width=width)
        middle = (round(box[0] + (box[2] - size.x) / 2), round(box[1] + (box[3] - size.y) / 2))
        imgui.get_window_draw_list().add_text(
            imgui.get_font(), imgui.get_font_size(), middle, theme.color("dim"), text, width
        )


def _progress(box: Box, progress: RenderProgress, cancel: Callable[[], None] | None) -> None:
    """Draw a progress bar in a child window, so that it takes the clicks and not the canvas below it."""
    width = min(ui.em(30), box[2] - ui.em(2))
    imgui.set_cursor_screen_pos((round(box[0] + (box[2] - width) / 2), round(box[1] + box[3] - ui.em(5.2))))
    imgui.push_style_color(imgui.Col_.child_bg, theme.color_vec("popup", 0.92))
    imgui.push_style_var(imgui.StyleVar_.child_rounding, ui.em(0.4))
    imgui.push_style_var(imgui.StyleVar_.window_padding, (ui.em(0.8), ui.em(0.6)))
    flags = imgui.ChildFlags_.always_use_window_padding | imgui.ChildFlags_.auto_resize_y
    imgui.begin_child("progress", (width, 0), flags, imgui.WindowFlags_.no_scrollbar)
    imgui.align_text_to_frame_padding()
    imgui.text_colored(theme.color_vec("text"), ui.elide_middle(progress.message, width - ui.em(7)))
    if cancel is not None:
        imgui.same_line(width - ui.em(4.8))
        if imgui.button("Cancel", (ui.em(4), 0)):
            cancel()
        ui.register_item("Canvas/Cancel")
        ui.tooltip("Keep the network that is shown")
    left, available = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
    imgui.dummy((available, ui.em(0.3)))
    known = progress.fraction
    start, end = (0.0, known) if known is not None else _indeterminate_bar(imgui.get_time())
    draw, high = imgui.get_window_draw_list(), left.y + ui.em(0.25)
    draw.add_rect_filled(left, (left.x + available, high), theme.color("field"), 2)
    draw.add_rect_filled(
        (left.x + available * start, left.y), (left.x + available * end, high), theme.color("accent"), 2
    )
    imgui.end_child()
    imgui.pop_style_var(2)
    imgui.pop_style_color()


def _indeterminate_bar(seconds: float) -> tuple[float, float]:
    """Start and end of the moving part of a bar whose progress is unknown."""
    middle = 0.5 - 0.4 * math.cos(seconds * 2)
    return middle - 0.1, middle + 0.1


def draw_keys(open_now: bool) -> bool:
    """Draw the list of commands and keys; return whether it stays open."""
    if not _begin("Keys", open_now, (ui.em(56), 0)):
        return False
    if imgui.begin_table("keys", 2):
        imgui.table_next_column()
        _group("file")
        _group("edit")
        _title("Mouse")
        for what, meaning in MOUSE:
            _pair(what, meaning, "")
        imgui.table_next_column()
        for group in ("view", "tool", "capture", "bookmark", "help"):
            _group(group)
        imgui.end_table()
    return _end(open_now)


def draw_about(open_now: bool, context: PanelContext, version: str) -> bool:
    """Draw versions, device and network; return whether it stays open."""
    if not _begin("About", open_now, (ui.em(34), 0)):
        return False
    imgui.text(f"Bandlimit {version}")
    imgui.text_colored(theme.color_vec("dim"), "See, drag and look into alias-free GANs. Apache License 2.0.")
    imgui.dummy((0, ui.em(0.4)))
    with ui.panel("About"):
        ui.key_value("Python", sys.version.split()[0])
        ui.key_value("System", platform.platform(terse=True))
        ui.key_value("Interface", f"Dear ImGui {imgui.get_version()}, imgui-bundle {imgui_bundle.__version__}")
        if context.model is not None:
            ui.key_value("Device", f"{context.model.device_name}, {context.model.precision}")
            ui.key_value("Kernels", context.model.kernels)
            ui.key_value("Network", f"{context.model.family}, {context.model.file}", context.model.file)
    return _end(open_now)


def _begin(title: str, open_now: bool, size: tuple[float, float]) -> bool:
    """Begin a modal window in the center; return False where it is closed."""
    name = f"{title}###overlay {title}"
    if open_now and not imgui.is_popup_open(name):
        imgui.open_popup(name)
    center = imgui.get_main_viewport().get_center()
    imgui.set_next_window_pos(center, imgui.Cond_.always, (0.5, 0.5))
    imgui.set_next_window_size(size)
    imgui.push_style_var(imgui.StyleVar_.window_padding, (ui.em(1.2), ui.em(0.9)))
    flags = imgui.WindowFlags_.no_resize | imgui.WindowFlags_.no_move | imgui.WindowFlags_.no_saved_settings
    is_visible = imgui.begin_popup_modal(name, None, flags)[0]
    imgui.pop_style_var()
    return is_visible


def _end(open_now: bool) -> bool:
    outside = imgui.is_mouse_clicked(0) and not imgui.is_window_hovered(imgui.HoveredFlags_.root_and_child_windows)
    leave = (
        any(imgui.is_key_pressed(key) for key in (imgui.Key.escape, imgui.Key.f1)) and not imgui.is_window_appearing()
    )
    if outside or leave:
        imgui.close_current_popup()
        open_now = False
    imgui.end_popup()
    return open_now


def _group(name: str) -> None:
    """Draw the commands of one group."""
    _title(GROUPS[name])
    for command in COMMANDS:
        if not command.name.startswith(f"{name}."):
            continue
        if command.name == "bookmark.go_1":  # one line for all nine
            _pair("Ctrl+1 to 9", "Go to your bookmark", command.meaning)
        elif not command.name.startswith("bookmark.go_"):
            _pair(key_label(command.keys) if command.keys else "", command.title.rstrip("…"), command.meaning)
    imgui.dummy((0, ui.em(0.4)))


def _title(text: str) -> None:
    imgui.text_colored(theme.color_vec("faint"), text)


def _pair(left: str, right: str, meaning: str) -> None:
    start = imgui.get_cursor_screen_pos()
    imgui.text_colored(theme.color_vec("dim"), left or " ")
    imgui.same_line()
    imgui.set_cursor_screen_pos((start.x + ui.em(10.5), start.y))
    imgui.text(right)
    ui.tooltip(meaning)
