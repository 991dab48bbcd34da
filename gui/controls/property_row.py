"""One row of a property grid: a label, a dot where the value differs from its default, and a control.

Reset (by the dot, or the right button on label or control), tooltip, disabling with a reason and the registered
rectangle are done here for every control.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from imgui_bundle import imgui

from gui.controls import item_rects
from gui.style import theme
from session.fields import Field, Record, clamp, describe

P = TypeVar("P", bound=Record)
LABEL_WIDTH = 6.0  # em
DOT_WIDTH = 1.0  # em; the column of the dot

Control = Callable[[Field, Any], tuple[bool, Any]]


def em(count: float = 1.0) -> float:
    """A number of font heights in pixels, rounded."""
    return round(count * imgui.get_font_size())


def edit(
    part: P,
    name: str,
    control: Control,
    *,
    label: str | None = None,
    enabled: bool = True,
    why: str = "",
    meaning: str = "",
    show: Callable[[Field, Any], str] = lambda field, value: str(value),
    item_name: str = "",
) -> P:
    """Draw one row that edits a field; return the part, the same object where nothing was edited.

    `control(field, value)` draws at the cursor in the width that is set and returns (changed, value). A disabled row
    stays in place and shows `why` in its tooltip. `item_name` is the row's path in its panel, by default the field.
    """
    default_text = label_of(name) if label is None else label
    return edit_many(
        part,
        (name,),
        control,
        label=default_text,
        enabled=enabled,
        why=why,
        meaning=meaning,
        show=show,
        item_name=item_name,
    )


def edit_many(
    part: P,
    names: tuple[str, ...],
    control: Control,
    *,
    label: str,
    enabled: bool = True,
    why: str = "",
    meaning: str = "",
    show: Callable[[Field, Any], str] = lambda field, value: str(value),
    item_name: str = "",
) -> P:
    """Draw one row with the same control for several fields; a reset by dot or label resets all of them."""
    fields = [describe(type(part))[name] for name in names]
    defaults = {field.name: field.default for field in fields}
    is_modified = any(getattr(part, name) != default for name, default in defaults.items())
    imgui.push_id(f"{type(part).__name__}.{'.'.join(names)}")
    default_text = ", ".join(dict.fromkeys(show(field, field.default) for field in fields))
    if _label(label, item_name or names[0], is_modified, enabled, default_text) and is_modified:
        part = replace(part, **defaults)
    gap = imgui.get_style().item_inner_spacing.x
    width = (imgui.get_content_region_avail().x - gap * (len(names) - 1)) / len(names)
    for index, field in enumerate(fields):
        if index:
            imgui.same_line(0, gap)
        value = getattr(part, field.name)
        imgui.push_id(field.name)
        imgui.begin_disabled(not enabled)
        imgui.begin_group()
        imgui.set_next_item_width(width)
        changed, new = control(field, value)
        imgui.end_group()
        imgui.end_disabled()
        imgui.pop_id()
        item_rects.register_item(item_name or field.name)
        if right_clicked():
            changed, new = True, field.default
        tooltip(meaning or field.meaning, _note(show(field, field.default), enabled, why))
        if changed and enabled and clamp(field, new) != value:
            part = replace(part, **{field.name: clamp(field, new)})
    imgui.pop_id()
    return part


def label_of(name: str) -> str:
    """A field's name as words: translate_x is "Translate x"."""
    return name.replace("_", " ").capitalize()


def label(text: str, enabled: bool = True, framed: bool = True) -> None:
    """Draw a label and move the cursor to the controls' column; not `framed`: plain text follows, no framed control."""
    left = imgui.get_cursor_pos_x()
    if framed:
        imgui.align_text_to_frame_padding()
    imgui.text_colored(theme.color_vec("dim" if enabled else "faint"), text)
    imgui.same_line(0, 0)  # the offset of same_line counts from the window, not from a table's column
    imgui.set_cursor_pos_x(left + em(LABEL_WIDTH) + em(DOT_WIDTH))


def indent() -> None:
    """Move the cursor to the controls' column, without a label."""
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + em(LABEL_WIDTH) + em(DOT_WIDTH))


def disclosure_triangle(center: tuple[float, float], open: bool = True, color: str = "dim") -> None:
    """Draw a small triangle that points down, or right where a section is folded."""
    x, y, r = center[0], center[1], 0.22 * em()
    points = ((x - r, y - 0.6 * r), (x + r, y - 0.6 * r), (x, y + 0.8 * r))
    if not open:
        points = ((x - 0.6 * r, y - r), (x + 0.8 * r, y), (x - 0.6 * r, y + r))
    imgui.get_window_draw_list().add_triangle_filled(*points, theme.color(color))


def right_clicked() -> bool:
    """Whether the last item, disabled or not, was clicked with the right button."""
    return imgui.is_item_hovered() and imgui.is_mouse_clicked(imgui.MouseButton_.right)


def tooltip(text: str, note: str = "") -> None:
    """Show a tooltip for the last item, also where it is disabled; `note` is dim."""
    flags = imgui.HoveredFlags_.for_tooltip | imgui.HoveredFlags_.allow_when_disabled
    if not (text or note) or not imgui.is_item_hovered(flags):
        return
    if imgui.begin_tooltip():
        imgui.push_text_wrap_pos(em(22))
        if text:
            imgui.text(text)
        if note:
            imgui.text_colored(theme.color_vec("faint"), note)
        imgui.pop_text_wrap_pos()
        imgui.end_tooltip()


def _label(text: str, item_name: str, is_modified: bool, enabled: bool, default_text: str) -> bool:
    """Draw the label and the dot; return whether a reset was requested by one of them."""
    left, reset = imgui.get_cursor_pos_x(), False
    label(text, enabled)
    right = imgui.get_cursor_pos_x()
    if text and imgui.is_mouse_clicked(imgui.MouseButton_.right) and imgui.is_item_hovered():
        reset = enabled
    if not is_modified:
        return reset
    imgui.set_cursor_pos_x(left + em(LABEL_WIDTH))
    corner, height = imgui.get_cursor_screen_pos(), imgui.get_frame_height()
    imgui.begin_disabled(not enabled)
    reset = imgui.invisible_button("reset", (em(DOT_WIDTH), height)) or reset
    imgui.end_disabled()
    hovered = imgui.is_item_hovered()
    center = (corner.x + em(DOT_WIDTH) / 2, corner.y + height / 2)
    color = theme.color("accent" if enabled else "faint")
    imgui.get_window_draw_list().add_circle_filled(center, em() * (0.26 if hovered else 0.18), color)
    item_rects.register_item(f"{item_name} reset")
    tooltip(f"Back to {default_text}" if default_text else "Back to empty")
    imgui.same_line(0, 0)
    imgui.set_cursor_pos_x(right)
    return reset


def _note(default_text: str, enabled: bool, why: str) -> str:
    if not enabled:
        return why
    return f"Default: {default_text or 'empty'}. Right-click resets."
