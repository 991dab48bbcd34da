"""Controls for numbers: slider, drag field, counter, seed.

All are clamped to the field's bounds. Ctrl+click types a value; arrow keys step the control under the mouse.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

from imgui_bundle import imgui

from gui.controls.property_row import edit, edit_many, em
from gui.style import theme
from session.fields import Field, Record, describe

P = TypeVar("P", bound=Record)
_DRAG_FLAGS = imgui.SliderFlags_.always_clamp | imgui.SliderFlags_.no_speed_tweaks


def slider(part: P, name: str, **row: Any) -> P:
    """A slider with a filled track. Ctrl+click types; arrow keys step, with Shift by ten."""

    def control(field: Field, value: float) -> tuple[bool, float]:
        bounds, step = _bounds(field), _step(field)
        flags = imgui.SliderFlags_.always_clamp
        if field.range and field.range.log:
            flags |= imgui.SliderFlags_.logarithmic
        edge = _draw_track(field, value)
        changed, new = imgui.slider_float("##slider", value, *bounds, _format(field), flags)
        _draw_value_mark(edge)
        return arrow_key_step(changed, new, value, step) if not changed else (True, _round_to_display(field, new))

    return edit(part, name, control, show=format_value, **row)


def drag(part: P, name: str, **row: Any) -> P:
    """A number that is dragged sideways in fine steps. Shift is ten times finer; Ctrl+click types."""

    def control(field: Field, value: float) -> tuple[bool, float]:
        return _drag_float(field, value)

    return edit(part, name, control, show=format_value, **row)


def pair(part: P, names: tuple[str, str], label: str, *, prefixes: tuple[str, str] = ("x", "y"), **row: Any) -> P:
    """Two numbers on one row, each as in `drag`; `prefixes` are shown where there is space."""

    def control(field: Field, value: float) -> tuple[bool, float]:
        units = max((format_value(describe(type(part))[name], -0.0) for name in names), key=len)
        has_space = imgui.calc_text_size(f"x  {units}").x < imgui.calc_item_width()
        return _drag_float(field, value, f"{prefixes[names.index(field.name)]}  " if has_space else "")

    return edit_many(part, names, control, label=label, show=format_value, **row)


def integer(part: P, name: str, *, high: int | None = None, steps: bool = True, **row: Any) -> P:
    """A whole number with buttons - and +; dragging counts, Ctrl+click types. `high` lowers the upper bound."""

    def control(field: Field, value: int) -> tuple[bool, int]:
        low, top = (int(bound) for bound in _bounds(field))
        return _counter(value, low, top if high is None else max(min(top, high), low), field.unit, steps)

    return edit(part, name, control, show=format_value, **row)


def optional(part: P, name: str, *, low: int, high: int, empty: str, last: bool = False, **row: Any) -> P:
    """A whole number from low to high, or None: shown as `empty`, and placed below low, or above high if `last`."""

    def control(field: Field, value: int | None) -> tuple[bool, int | None]:
        none_value = high + 1 if last else low - 1
        ends = (min(low, none_value), max(high, none_value))
        shown = none_value if value is None else value
        text = empty if value is None else f"{value} {field.unit}".strip()
        changed, new = _counter(shown, *ends, "", True, text)
        return changed, None if new == none_value else new

    return edit(part, name, control, show=lambda field, value: empty if value is None else str(value), **row)


def seed(part: P, name: str = "seed", **row: Any) -> P:
    """A seed: typed, or stepped with - and +; wraps around at 2^32."""

    def control(field: Field, value: int) -> tuple[bool, int]:
        _, high = _bounds(field)
        side = imgui.get_frame_height()
        gap = imgui.get_style().item_inner_spacing.x
        imgui.set_next_item_width(imgui.calc_item_width() - 2 * (side + gap))
        changed, typed = imgui.input_double("##seed", float(value), 0.0, 0.0, "%.0f")
        new = int(min(max(typed, 0.0), high)) if changed and math.isfinite(typed) else value
        step = step_buttons(side, gap)
        return new != value or step != 0, (new + step) % (int(high) + 1)

    return edit(part, name, control, show=format_value, **row)


def format_value(field: Field, value: Any) -> str:
    """A value with its unit as shown to the user: "0.70", "12.0°"."""
    if value is None or isinstance(value, (bool, str)):
        return str(value or "")
    number = f"{value:.{_decimals(field)}f}" if field.kind is float else str(value)
    return number + _unit_suffix(field.unit)


def _drag_float(field: Field, value: float, prefix: str = "") -> tuple[bool, float]:
    speed = _step(field) * (0.1 if imgui.get_io().key_shift else 1.0)
    changed, new = imgui.drag_float("##drag", value, speed, *_bounds(field), prefix + _format(field), _DRAG_FLAGS)
    _set_drag_cursor()
    return (True, _round_to_display(field, new)) if changed else arrow_key_step(changed, new, value, _step(field))


def _unit_suffix(unit: str) -> str:
    return unit if unit in ("", "°", "×", "°/s") else f" {unit}"


def _bounds(field: Field) -> tuple[float, float]:
    return (field.range.low, field.range.high) if field.range else (0.0, 1.0)


def _step(field: Field) -> float:
    """One step: the field's own fine step, or about 1/200 of its range; on a log scale, from the lower bound."""
    if field.range and field.range.step:
        return field.range.step
    low, high = _bounds(field)
    size = low if field.range and field.range.log else (high - low) / 200
    return 10.0 ** math.floor(math.log10(size))


def _decimals(field: Field) -> int:
    return max(0, math.ceil(-math.log10(_step(field)) - 1e-9)) if field.kind is float else 0


def _format(field: Field) -> str:
    return f"%.{_decimals(field)}f" + _unit_suffix(field.unit).replace("%", "%%")


def _round_to_display(field: Field, value: float) -> float:
    """Round a 32-bit float from imgui to the decimals on screen."""
    return round(value, _decimals(field)) + 0.0


def arrow_key_step(changed: bool, new: Any, value: float, step: float) -> tuple[bool, Any]:
    """Step by the arrow keys while the mouse is over the last item: one step, or ten with Shift."""
    if changed or not imgui.is_item_hovered() or imgui.is_item_active():
        return changed, new
    imgui.set_item_key_owner(imgui.Key.left_arrow)  # otherwise the keyboard focus moves on
    imgui.set_item_key_owner(imgui.Key.right_arrow)
    left, right = imgui.is_key_pressed(imgui.Key.left_arrow), imgui.is_key_pressed(imgui.Key.right_arrow)
    if left == right:
        return changed, value
    delta = step * (10 if imgui.get_io().key_shift else 1) * (1 if right else -1)
    return True, round(value + delta, 9) if isinstance(value, float) else value + int(delta)


def _draw_track(field: Field, value: float) -> float:
    """Draw a slider's track, filled from zero where zero lies within the range, else from its low end.

    Returns the x coordinate of the value in pixels.
    """
    low, high = _bounds(field)
    corner, width, height = imgui.get_cursor_screen_pos(), imgui.calc_item_width(), imgui.get_frame_height()

    def fraction(number: float) -> float:
        if field.range and field.range.log:
            return math.log(number / low) / math.log(high / low)
        return (number - low) / (high - low)

    start = fraction(0.0) if low < 0 < high else fraction(1.0) if field.range and field.range.log else 0.0
    ends = sorted((start, fraction(value)))
    draw, rounding = imgui.get_window_draw_list(), imgui.get_style().frame_rounding
    right, bottom = corner.x + width, corner.y + height
    draw.add_rect_filled(corner, (right, bottom), theme.color("field"), rounding)
    left, end = (corner.x + width * fraction for fraction in ends)
    draw.add_rect_filled((left, corner.y), (end, bottom), theme.color("fill"), rounding)
    if field.default is not None:
        tick = round(corner.x + width * fraction(field.default))
        if corner.x + 2 < tick < right - 2:
            draw.add_line((tick, bottom - em(0.2)), (tick, bottom), theme.color("faint"))
    imgui.push_style_color(imgui.Col_.frame_bg, (0, 0, 0, 0))
    imgui.push_style_color(imgui.Col_.frame_bg_hovered, theme.color_vec("text", 0.06))
    imgui.push_style_color(imgui.Col_.frame_bg_active, theme.color_vec("text", 0.08))
    imgui.push_style_color(imgui.Col_.slider_grab, (0, 0, 0, 0))
    imgui.push_style_color(imgui.Col_.slider_grab_active, (0, 0, 0, 0))
    return min(max(corner.x + width * fraction(value), corner.x + 1), right - 1)


def _draw_value_mark(edge: float) -> None:
    """Draw a mark at the value, in the accent color while it is dragged."""
    imgui.pop_style_color(5)
    high = imgui.get_item_rect_max()
    name = "accent" if imgui.is_item_active() else "text" if imgui.is_item_hovered() else "dim"
    edge = round(edge)
    imgui.get_window_draw_list().add_rect_filled((edge - 1, high.y - em(0.3)), (edge + 1, high.y), theme.color(name), 1)


def _set_drag_cursor() -> None:
    if imgui.is_item_hovered() and not imgui.get_io().want_text_input:
        imgui.set_mouse_cursor(imgui.MouseCursor_.resize_ew)


def _counter(value: int, low: int, high: int, unit: str, steps: bool, text: str = "") -> tuple[bool, int]:
    """A whole number that is dragged, with buttons - and + after it."""
    side, gap = imgui.get_frame_height(), imgui.get_style().item_inner_spacing.x
    if steps:
        imgui.set_next_item_width(imgui.calc_item_width() - 2 * (side + gap))
    form = text.replace("%", "%%") or "%d" + _unit_suffix(unit).replace("%", "%%")
    speed = max((high - low) / 400, 0.05)
    changed, new = imgui.drag_int("##count", value, speed, low, high, form, _DRAG_FLAGS)
    _set_drag_cursor()
    changed, new = arrow_key_step(changed, new, value, 1)
    step = step_buttons(side, gap) if steps else 0
    if step:
        changed, new = True, value + step
    return changed, min(max(new, low), high)


def step_buttons(side: float, gap: float) -> int:
    """The buttons - and +, which repeat while held: return -1, 0 or 1."""
    step = 0
    imgui.push_item_flag(imgui.ItemFlags_.button_repeat, True)
    for sign, text in ((-1, "\N{MINUS SIGN}"), (1, "+")):
        imgui.same_line(0, gap)
        if imgui.button(text, (side, side)):
            step = sign
    imgui.pop_item_flag()
    return step
