"""The row of a network's class: a list of names, or a number where the classes have no names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from imgui_bundle import imgui

from gui.controls.basic import elide_middle
from gui.controls.item_rects import register_item
from gui.controls.numbers import arrow_key_step, optional, step_buttons
from gui.controls.property_row import disclosure_triangle, edit, em, tooltip
from renderer.messages import ModelInfo
from session import Latent, Mixing
from session.fields import Field, describe

P = TypeVar("P", Latent, Mixing)
MAX_VISIBLE = 12  # names without scrolling; a longer list has a search field
MAX_LIST_WIDTH = 26.0  # em


@dataclass
class _Search:
    text: str = ""


_search = _Search()  # of the open list; only one can be open


def class_row(part: P, model: ModelInfo | None, class_of_seed: int | None = None) -> P:
    """The row of `class_index`; `class_of_seed` is the class drawn from the seed, where it is known."""
    count, names = (model.c_dim, model.classes) if model else (0, ())
    chosen, word = part.class_index, "" if class_of_seed is None else f" ({_name(names, class_of_seed)})"
    row: dict[str, Any] = {
        "label": "Class",
        "enabled": count > 0,
        "why": "This network knows no classes." if model else "No network has loaded yet.",
    }
    if not names:
        empty = f"from the seed{word}"
        return optional(part, "class_index", low=0, high=max(count - 1, 0), empty=empty, **row)
    if chosen is not None:
        row["meaning"] = f"Class {chosen}: {_name(names, chosen)}\n{describe(type(part))['class_index'].meaning}"
    short = "from the seed" if class_of_seed is None else f"seed: {_name(names, class_of_seed)}"
    return _name_combo(part, "class_index", names, f"from the seed{word}", short, **row)


def _name_combo(part: P, name: str, names: Sequence[str], empty: str, short: str, **row: Any) -> P:
    """Choose one of some names by index, or None: shown as `short` when closed, and as `empty` at the head of the list.

    The arrow keys step while the mouse is over it, as do the buttons - and + after it.
    """

    def control(field: Field, value: int | None) -> tuple[bool, int | None]:
        side, style, item_name = imgui.get_frame_height(), imgui.get_style(), f"{row.get('item_name') or name}"
        gap, width = style.item_inner_spacing.x, imgui.calc_item_width()
        width -= 2 * (side + gap)
        corner, current = imgui.get_cursor_screen_pos(), -1 if value is None else value
        new = current
        imgui.set_next_item_width(width)
        _set_list_size((empty, *names), width)
        if imgui.begin_combo("##names", "", imgui.ComboFlags_.no_arrow_button):
            new = _draw_list(item_name, names, empty, current)
            imgui.end_combo()
        else:
            _, new = arrow_key_step(False, current, current, 1)
        text = short if value is None else _name(names, value)
        text = elide_middle(text, width - 2 * style.frame_padding.x - em(0.9))
        at = (corner.x + style.frame_padding.x, corner.y + style.frame_padding.y)
        imgui.get_window_draw_list().add_text(at, imgui.get_color_u32(imgui.Col_.text), text)
        disclosure_triangle((corner.x + width - em(0.75), corner.y + side / 2))
        new += step_buttons(side, gap)
        new = current if new == current else min(max(new, -1), len(names) - 1)
        return new != current, None if new < 0 else new

    return edit(part, name, control, show=lambda field, value: empty if value is None else _name(names, value), **row)


def _set_list_size(text: Sequence[str], width: float) -> None:
    """Make the list as wide as the longest name and MAX_VISIBLE rows high, within bounds."""
    style = imgui.get_style()
    wanted = imgui.calc_text_size(max(text, key=len)).x + 2 * style.window_padding.x + style.scrollbar_size
    width = max(min(wanted, em(MAX_LIST_WIDTH)), width)
    height = _list_height() + imgui.get_frame_height_with_spacing() + 2 * style.window_padding.y
    imgui.set_next_window_size_constraints((width, 0), (width, height))


def _list_height() -> float:
    return (MAX_VISIBLE + 1) * imgui.get_text_line_height_with_spacing()


def _draw_list(item_name: str, names: Sequence[str], empty: str, current: int) -> int:
    """Draw the open list; return the chosen index."""
    rows = [-1, *range(len(names))]
    if len(names) > MAX_VISIBLE:
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
            _search.text = ""
        imgui.set_next_item_width(-1)
        flags = imgui.InputTextFlags_.enter_returns_true
        before = _search.text
        entered, _search.text = imgui.input_text_with_hint("##search", "search", _search.text, flags)
        register_item(f"{item_name} search")
        if query := _search.text.strip().casefold():
            rows = [index for index, name in enumerate(names) if query in name.casefold()]
        if entered and rows:
            imgui.close_current_popup()
            return rows[0]
        if _search.text != before:
            imgui.set_next_window_scroll((0, 0))
        imgui.begin_child("rows", (0, _list_height()), imgui.ChildFlags_.nav_flattened)
        current = _draw_rows(item_name, rows, names, empty, current)
        imgui.end_child()
        return current
    return _draw_rows(item_name, rows, names, empty, current)


def _draw_rows(item_name: str, rows: Sequence[int], names: Sequence[str], empty: str, current: int) -> int:
    """Draw the visible rows of the list; return the chosen index."""
    max_width, chosen = imgui.get_content_region_avail().x, current
    clipper = imgui.ListClipper()
    clipper.begin(len(rows))
    if current in rows:
        clipper.include_item_by_index(rows.index(current))
    while clipper.step():
        for index in rows[clipper.display_start : clipper.display_end]:
            if _draw_choice(item_name, index, empty if index < 0 else names[index], index == current, max_width):
                chosen = index
                imgui.close_current_popup()
    return chosen


def _draw_choice(item_name: str, index: int, name: str, selected: bool, max_width: float) -> bool:
    """Draw one row of the list; return whether it was pressed. The name is drawn apart, since labels end at ##."""
    corner = imgui.get_cursor_screen_pos()
    pressed = imgui.selectable(f"##{index}", selected)[0]
    register_item(f"{item_name} {name}")
    text = elide_middle(name, max_width)
    imgui.get_window_draw_list().add_text(corner, imgui.get_color_u32(imgui.Col_.text), text)
    if text != name:
        tooltip(name)
    if selected:
        imgui.set_item_default_focus()
        if imgui.is_window_appearing():
            imgui.set_scroll_here_y()
    return pressed


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)
