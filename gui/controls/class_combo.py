"""The class of a network: by its name from a list, or by its number where the classes have no names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from imgui_bundle import imgui

from gui.controls.basic import shortened
from gui.controls.item_rects import mark
from gui.controls.numbers import nudged, optional, step_buttons
from gui.controls.property_row import disclosure_triangle, edit, em, tooltip
from renderer.messages import ModelInfo
from session import Latent, Mixing
from session.fields import Field, describe

P = TypeVar("P", Latent, Mixing)
FEW = 12  # names; a longer list has a line to search in, and shows so many at a time
WIDEST = 26.0  # em, of the list


@dataclass
class _Search:
    words: str = ""


_search = _Search()  # in the list that is open: there is one at a time


def class_row(part: P, model: ModelInfo | None, drawn: int | None = None) -> P:
    """The row of `class_index`; `drawn` is the class that the seed has, where it is known."""
    count, names = (model.c_dim, model.classes) if model else (0, ())
    chosen, word = part.class_index, "" if drawn is None else f" ({_name(names, drawn)})"
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
    short = "from the seed" if drawn is None else f"seed: {_name(names, drawn)}"
    return _named(part, "class_index", names, f"from the seed{word}", short, **row)


def _named(part: P, name: str, names: Sequence[str], empty: str, short: str, **row: Any) -> P:
    """One of some names by its number, or None: reads as `short`, and stands before the first, as `empty`.

    Arrow keys step what lies under the mouse, and so do - and + behind it.
    """

    def control(field: Field, value: int | None) -> tuple[bool, int | None]:
        side, style, place = imgui.get_frame_height(), imgui.get_style(), f"{row.get('place') or name}"
        gap, width = style.item_inner_spacing.x, imgui.calc_item_width()
        width -= 2 * (side + gap)
        corner, now = imgui.get_cursor_screen_pos(), -1 if value is None else value
        new = now
        imgui.set_next_item_width(width)
        _size_list((empty, *names), width)
        if imgui.begin_combo("##names", "", imgui.ComboFlags_.no_arrow_button):
            new = _list(place, names, empty, now)
            imgui.end_combo()
        else:
            _, new = nudged(False, now, now, 1)
        words = short if value is None else _name(names, value)
        words = shortened(words, width - 2 * style.frame_padding.x - em(0.9))
        at = (corner.x + style.frame_padding.x, corner.y + style.frame_padding.y)
        imgui.get_window_draw_list().add_text(at, imgui.get_color_u32(imgui.Col_.text), words)
        disclosure_triangle((corner.x + width - em(0.75), corner.y + side / 2))
        new += step_buttons(side, gap)
        new = now if new == now else min(max(new, -1), len(names) - 1)
        return new != now, None if new < 0 else new

    return edit(part, name, control, show=lambda field, value: empty if value is None else _name(names, value), **row)


def _size_list(words: Sequence[str], width: float) -> None:
    """Room for the longest name, within bounds, and for some names at a time."""
    style = imgui.get_style()
    wanted = imgui.calc_text_size(max(words, key=len)).x + 2 * style.window_padding.x + style.scrollbar_size
    width = max(min(wanted, em(WIDEST)), width)
    height = _height() + imgui.get_frame_height_with_spacing() + 2 * style.window_padding.y
    imgui.set_next_window_size_constraints((width, 0), (width, height))


def _height() -> float:
    return (FEW + 1) * imgui.get_text_line_height_with_spacing()


def _list(place: str, names: Sequence[str], empty: str, now: int) -> int:
    """The open list; the number that is chosen in it."""
    rows = [-1, *range(len(names))]
    if len(names) > FEW:
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
            _search.words = ""
        imgui.set_next_item_width(-1)
        flags = imgui.InputTextFlags_.enter_returns_true
        before = _search.words
        entered, _search.words = imgui.input_text_with_hint("##search", "search", _search.words, flags)
        mark(f"{place} search")
        if sought := _search.words.strip().casefold():
            rows = [index for index, name in enumerate(names) if sought in name.casefold()]
        if entered and rows:
            imgui.close_current_popup()
            return rows[0]
        if _search.words != before:
            imgui.set_next_window_scroll((0, 0))
        imgui.begin_child("rows", (0, _height()), imgui.ChildFlags_.nav_flattened)
        now = _rows(place, rows, names, empty, now)
        imgui.end_child()
        return now
    return _rows(place, rows, names, empty, now)


def _rows(place: str, rows: Sequence[int], names: Sequence[str], empty: str, now: int) -> int:
    """Those of the list that are in sight; the number that is chosen among them."""
    room, chosen = imgui.get_content_region_avail().x, now
    clipper = imgui.ListClipper()
    clipper.begin(len(rows))
    if now in rows:
        clipper.include_item_by_index(rows.index(now))
    while clipper.step():
        for index in rows[clipper.display_start : clipper.display_end]:
            if _choice(place, index, empty if index < 0 else names[index], index == now, room):
                chosen = index
                imgui.close_current_popup()
    return chosen


def _choice(place: str, index: int, name: str, selected: bool, room: float) -> bool:
    """One line of the list; its name is no label of imgui's, which would leave out what follows ##."""
    corner = imgui.get_cursor_screen_pos()
    pressed = imgui.selectable(f"##{index}", selected)[0]
    mark(f"{place} {name}")
    words = shortened(name, room)
    imgui.get_window_draw_list().add_text(corner, imgui.get_color_u32(imgui.Col_.text), words)
    if words != name:
        tooltip(name)
    if selected:
        imgui.set_item_default_focus()
        if imgui.is_window_appearing():
            imgui.set_scroll_here_y()
    return pressed


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)
