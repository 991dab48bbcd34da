"""Parts of panels that edit no field: sections, buttons, key-value rows, hints, warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from imgui_bundle import imgui

from gui.commands import BY_NAME
from gui.controls import item_rects, property_row
from gui.panel import PanelContext
from gui.style import theme

MAX_BUTTON_WIDTH = 14.0  # em


@dataclass
class _Row:
    width: float = 0.0  # of each button; 0: as wide as its label
    first: bool = True


_row: list[_Row] = []


@contextmanager
def buttons(count: int, full_width: bool = False) -> Iterator[None]:
    """Place buttons of equal width side by side, below the controls; below labels and controls where `wide`."""
    if not full_width:
        property_row.indent()
    gap = imgui.get_style().item_inner_spacing.x
    width = (imgui.get_content_region_avail().x - gap * (count - 1)) / count
    _row.append(_Row(min(width, property_row.em(MAX_BUTTON_WIDTH))))
    try:
        yield
    finally:
        _row.pop()


def button(label: str, meaning: str = "", *, enabled: bool = True, why: str = "", active: bool = False) -> bool:
    """A button; return whether it was pressed. `active` highlights it while its action is on."""
    width = 0.0
    if _row:
        if not _row[-1].first:
            imgui.same_line(0, imgui.get_style().item_inner_spacing.x)
        _row[-1].first, width = False, _row[-1].width
    if active:
        for index, name in ((imgui.Col_.button, "accent"), (imgui.Col_.button_hovered, "accent")):
            imgui.push_style_color(index, theme.color_vec(name))
        imgui.push_style_color(imgui.Col_.text, theme.color_vec("on_accent"))
    imgui.begin_disabled(not enabled)
    pressed = imgui.button(label, (width, 0))
    imgui.end_disabled()
    if active:
        imgui.pop_style_color(3)
    item_rects.register_item(label.partition("##")[0])
    property_row.tooltip(meaning, why if not enabled else "")
    return pressed and enabled


def command_button(
    context: PanelContext,
    name: str,
    *arguments: Any,
    label: str = "",
    enabled: bool = True,
    why: str = "",
    active: bool = False,
) -> None:
    """A button that posts a command of gui/commands.py; its tooltip shows the key."""
    command = BY_NAME[name]
    keys = f"  ({command.keys.title()})" if command.keys else ""
    if button(label or command.title, command.meaning + keys, enabled=enabled, why=why, active=active):
        context.post_command(name, *arguments)


def section(title: str, open: bool = True, meaning: str = "") -> bool:
    """A heading that folds the section below it; return whether the section is open."""
    store, key = imgui.get_state_storage(), imgui.get_id(title)
    shown = store.get_bool(key, open)
    imgui.dummy((0, property_row.em(0.1)))
    corner = imgui.get_cursor_screen_pos()
    height = imgui.get_frame_height()
    if imgui.invisible_button(title, (max(imgui.get_content_region_avail().x, 1), height)):
        shown = not shown
        store.set_bool(key, shown)
    name = "text" if imgui.is_item_hovered() else "dim"
    item_rects.register_item(title)
    property_row.tooltip(meaning)
    draw, middle = imgui.get_window_draw_list(), corner.y + height / 2
    property_row.disclosure_triangle((corner.x + property_row.em(0.35), middle), shown)
    left, size = corner.x + property_row.em(1), imgui.calc_text_size(title)
    draw.add_text((left, round(middle - size.y / 2)), theme.color(name), title)
    line, end = round(middle), imgui.get_item_rect_max().x
    draw.add_line((left + size.x + property_row.em(0.6), line), (end, line), theme.color("line"))
    return shown


def key_value(name: str, value: str, full: str = "") -> None:
    """One row of a table of names and values; a click copies the value, the tooltip shows `full`."""
    property_row.label(name, framed=False)
    max_width = imgui.get_content_region_avail().x
    shown = elide_middle(value, max_width) or "–"
    imgui.text(shown)
    item_rects.register_item(name)
    if (full or value) and imgui.is_item_clicked():
        imgui.set_clipboard_text(full or value)
    if full or shown != value:
        property_row.tooltip(full or value, "Click copies it.")


def elide_middle(text: str, max_width: float, measure: Callable[[str], float] | None = None) -> str:
    """Replace the middle of a text by an ellipsis where it is wider than `max_width` pixels."""
    measure = measure or (lambda words: imgui.calc_text_size(words).x)
    if measure(text) <= max_width:
        return text
    low, high = 0, len(text)
    while low < high:  # binary search for the most characters that fit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(_cut(text, middle)) <= max_width else (low, middle - 1)
    return _cut(text, low)


def _cut(text: str, count: int) -> str:
    head = count // 2
    return text[:head] + "…" + (text[len(text) - (count - head) :] if count > head else "")


def hint(text: str) -> None:
    """A dim sentence."""
    _wrapped_text(text, "faint")


def warning(text: str) -> None:
    """A sentence in the warning color."""
    _wrapped_text(text, "amber")


def problem(text: str) -> None:
    """A sentence in the error color."""
    _wrapped_text(text, "red")


def _wrapped_text(text: str, color: str) -> None:
    imgui.push_style_color(imgui.Col_.text, theme.color_vec(color))
    imgui.text_wrapped(text)
    imgui.pop_style_color()
