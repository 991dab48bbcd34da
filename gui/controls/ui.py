"""All controls that panels are drawn with.

    value = ui.slider(value, "psi")                          frozen part in, the same or a changed one out
    value = ui.integer(value, "channel", enabled=..., why="...")

Bounds, unit, meaning and default come from session.fields; values are clamped to the bounds. The app calls
`ui.begin_frame()` before the panels of a frame and draws each one inside `with ui.panel(title):`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from imgui_bundle import imgui

from gui.controls.basic import button, buttons, command_button, elide_middle, hint, key_value, problem, section, warning
from gui.controls.class_combo import class_row
from gui.controls.item_rects import ITEM_RECTS, begin_frame, panel, register_item, scroll_to
from gui.controls.numbers import drag, format_value, integer, optional, pair, seed, slider
from gui.controls.plots import figure, nice_limit, plot_band, plot_image, plot_line, plot_vertical
from gui.controls.property_row import disclosure_triangle, edit, em, indent, label, label_of, tooltip
from gui.style.theme import color
from gui.style.theme import color_vec as color_vec
from session.fields import Field, Record, describe

__all__ = [
    "ITEM_RECTS",
    "begin_frame",
    "button",
    "buttons",
    "checkbox",
    "class_row",
    "color",
    "combo",
    "command_button",
    "disclosure_triangle",
    "drag",
    "edit",
    "em",
    "key_value",
    "field_row",
    "figure",
    "hint",
    "indent",
    "integer",
    "label",
    "register_item",
    "nice_limit",
    "optional",
    "pair",
    "panel",
    "plot_band",
    "plot_image",
    "plot_line",
    "plot_vertical",
    "problem",
    "scroll_to",
    "section",
    "seed",
    "elide_middle",
    "slider",
    "format_value",
    "text",
    "color_vec",
    "tooltip",
    "warning",
]

P = TypeVar("P", bound=Record)


def checkbox(part: P, name: str, *, text: str = "", **row: Any) -> P:
    """A checkbox; `text` stands behind it, where the label column is too narrow."""

    def control(field: Field, value: bool) -> tuple[bool, bool]:
        return imgui.checkbox(text + "##checkbox", value)

    return edit(part, name, control, show=lambda field, value: "on" if value else "off", **row)


def combo(
    part: P,
    name: str,
    *,
    choices: Sequence[str] | None = None,
    words: dict[str, str] | None = None,
    typed: bool = False,
    **row: Any,
) -> P:
    """One of a few words; `words` maps values to labels, `choices` replaces the field's, `typed` allows any text."""

    def control(field: Field, value: str) -> tuple[bool, str]:
        options = tuple(choices if choices is not None else field.choice.values if field.choice else (value,))
        new = value
        corner, width = imgui.get_cursor_screen_pos(), imgui.calc_item_width()
        opened = imgui.begin_combo("##combo", (words or {}).get(value, value), imgui.ComboFlags_.no_arrow_button)
        if opened:
            for option in options:
                if imgui.selectable((words or {}).get(option, option), option == value)[0]:
                    new = option
                register_item(f"{row.get('item_name') or name} {option}")
            if typed:
                new = _other_choice(name, new)
            imgui.end_combo()
        disclosure_triangle((corner.x + width - em(0.75), corner.y + imgui.get_frame_height() / 2))
        return new != value, new

    return edit(part, name, control, show=lambda field, value: str((words or {}).get(value, value)), **row)


def _other_choice(name: str, value: str) -> str:
    """A text field at the end of the choices, for any other value."""
    imgui.separator()
    imgui.set_next_item_width(em(10))
    entered, word = imgui.input_text_with_hint("##other", "other", "", imgui.InputTextFlags_.enter_returns_true)
    register_item(f"{name} other")
    if entered and word.strip():
        imgui.close_current_popup()
        return word.strip()
    return value


def text(part: P, name: str, *, empty: str = "", done: Callable[[str], None] | None = None, **row: Any) -> P:
    """A line of text, applied on Enter or when the field loses the focus; `empty` is its placeholder.

    With `done`, Enter passes the text to `done` instead of editing the part, and losing the focus drops it.
    """

    def control(field: Field, value: str) -> tuple[bool, str]:
        flags = imgui.InputTextFlags_.auto_select_all | imgui.InputTextFlags_.elide_left
        _, typed = imgui.input_text_with_hint("##text", empty, value, flags)
        entered = imgui.is_item_deactivated() and imgui.is_key_pressed(imgui.Key.enter)
        entered |= imgui.is_item_deactivated() and imgui.is_key_pressed(imgui.Key.keypad_enter)
        finished = imgui.is_item_deactivated_after_edit() or (done is not None and entered)
        if done is not None:
            if entered:
                done(typed.strip())
            return False, value
        return finished and typed.strip() != value, typed.strip()

    return edit(part, name, control, **row)


def field_row(part: P, name: str, **row: Any) -> P:
    """Draw the control that fits a field's declaration, for settings that no panel knows by name.

    A choice is a combo, a bool a checkbox, a whole number a counter, a bounded float a slider, else text is typed.
    Raises ValueError for a field that no single row can edit: a tuple, a group of fields, a number without bounds.
    """
    field = describe(type(part))[name]
    if field.is_tuple or issubclass(field.kind, Record) or (field.kind in (int, float) and field.range is None):
        raise ValueError(f"No row can edit {type(part).__name__}.{name}: draw it in the panel.")
    if field.choice:
        return combo(part, name, **row)
    if field.kind is bool:
        return checkbox(part, name, **{"label": "", "text": label_of(name), **row})
    if field.kind is int and field.range and field.optional:
        low, high = int(field.range.low), int(field.range.high)
        return optional(part, name, **{"low": low, "high": high, "empty": "none", **row})
    if field.kind is int:
        return integer(part, name, **row)
    if field.kind is float:
        return slider(part, name, **row)
    return text(part, name, **row)
