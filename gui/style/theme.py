"""The look of the window: two palettes, spacing on a grid of 4, one accent color for what is active.

theme.apply("dark", scale=1.5)      once, and whenever the theme or the scale changes
theme.color("accent")               a color of the current palette, for the draw list
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from imgui_bundle import ImVec2, ImVec4, imgui, implot

from gui.style import fonts
from gui.style.palettes import DARK, PALETTES, Palette

Rgba = tuple[float, float, float, float]


@dataclass
class _Current:
    palette: Palette = DARK


_current = _Current()


def palette() -> Palette:
    """The current palette."""
    return _current.palette


@cache
def rgba(code: str, alpha: float | None = None) -> Rgba:
    """ "#rrggbb" or "#rrggbbaa" as four floats from 0 to 1; `alpha` overrides the opacity."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
    target = int(code[7:9], 16) / 255 if len(code) == 9 else 1.0
    return red, green, blue, target if alpha is None else alpha


def color_vec(name: str, alpha: float | None = None) -> ImVec4:
    """A color of the current palette by its name ("accent"), for style colors."""
    return ImVec4(*rgba(getattr(_current.palette, name), alpha))


def color(name: str, alpha: float | None = None) -> int:
    """A color of the current palette by its name ("accent"), for the draw list; dimmed inside begin_disabled."""
    return imgui.get_color_u32(color_vec(name, alpha))


def series(index: int) -> ImVec4:
    """The color of the n-th line of a plot."""
    lines = _current.palette.series
    return ImVec4(*rgba(lines[index % len(lines)]))


def apply(name: str = "dark", scale: float = 1.0) -> None:
    """Set all colors and sizes of the current imgui and implot contexts; `scale` 2 is twice as large."""
    _current.palette = PALETTES.get(name, DARK)
    style = imgui.Style()
    _set_sizes(style)
    _set_colors(style)
    style.scale_all_sizes(scale)
    style.font_size_base = fonts.FONT_SIZE
    style.font_scale_dpi = scale
    _copy_style(style)
    if implot.get_current_context() is not None:
        _set_plot_style(scale)


def _copy_style(style: imgui.Style) -> None:
    """Copy a style over the context's own, field by field: the binding cannot assign the whole."""
    target = imgui.get_style()
    for name in dir(style):
        if name.startswith("_") or name in ("color_", "set_color_", "scale_all_sizes"):
            continue
        setattr(target, name, getattr(style, name))
    for index in range(int(imgui.Col_.count)):
        target.set_color_(index, style.color_(index))


def _set_sizes(style: imgui.Style) -> None:
    style.window_padding = ImVec2(8, 8)
    style.frame_padding = ImVec2(6, 3)  # 14 + 2 x 3 = 20, with 4 between rows: 24 from row to row
    style.cell_padding = ImVec2(4, 2)
    style.item_spacing = ImVec2(8, 4)
    style.item_inner_spacing = ImVec2(4, 4)
    style.indent_spacing = 12
    style.scrollbar_size = 10
    style.grab_min_size = 4
    style.window_border_size = 0
    style.child_border_size = 0
    style.popup_border_size = 1
    style.frame_border_size = 0
    style.tab_bar_border_size = 0
    style.tab_bar_overline_size = 0
    style.window_rounding = 0
    style.child_rounding = 0
    style.popup_rounding = 4
    style.frame_rounding = 3
    style.grab_rounding = 2
    style.scrollbar_rounding = 4
    style.tab_rounding = 3
    style.docking_separator_size = 4
    style.disabled_alpha = 0.5
    style.window_menu_button_position = imgui.Dir.none
    style.hover_delay_normal = 0.45
    style.window_title_align = ImVec2(0.0, 0.5)
    style.separator_text_border_size = 1


def _set_colors(style: imgui.Style) -> None:
    col = imgui.Col_
    clear = ImVec4(0, 0, 0, 0)
    for index, name in (
        (col.text, "text"),
        (col.text_disabled, "faint"),
        (col.window_bg, "panel"),
        (col.popup_bg, "popup"),
        (col.border, "line"),
        (col.frame_bg, "field"),
        (col.frame_bg_hovered, "field_hover"),
        (col.frame_bg_active, "field_active"),
        (col.title_bg, "window"),
        (col.title_bg_active, "window"),
        (col.title_bg_collapsed, "window"),
        (col.menu_bar_bg, "window"),
        (col.scrollbar_grab, "button"),
        (col.scrollbar_grab_hovered, "button_hover"),
        (col.scrollbar_grab_active, "fill"),
        (col.check_mark, "text"),
        (col.slider_grab, "dim"),
        (col.slider_grab_active, "accent"),
        (col.button, "button"),
        (col.button_hovered, "button_hover"),
        (col.button_active, "fill"),
        (col.header, "field"),
        (col.header_hovered, "field_hover"),
        (col.header_active, "field_active"),
        (col.separator, "line"),
        (col.separator_hovered, "fill"),
        (col.separator_active, "accent"),
        (col.resize_grip_hovered, "fill"),
        (col.resize_grip_active, "accent"),
        (col.input_text_cursor, "accent"),
        (col.tab, "window"),
        (col.tab_hovered, "field_hover"),
        (col.tab_selected, "panel"),
        (col.tab_selected_overline, "panel"),
        (col.tab_dimmed, "window"),
        (col.tab_dimmed_selected, "panel"),
        (col.tab_dimmed_selected_overline, "panel"),
        (col.docking_empty_bg, "canvas"),
        (col.plot_histogram, "accent"),
        (col.table_header_bg, "panel"),
        (col.table_border_strong, "line"),
        (col.table_border_light, "line"),
        (col.nav_cursor, "accent"),
        (col.drag_drop_target, "accent"),
    ):
        style.set_color_(int(index), color_vec(name))
    for index in (col.child_bg, col.scrollbar_bg, col.resize_grip, col.border_shadow, col.table_row_bg):
        style.set_color_(int(index), clear)
    style.set_color_(int(col.docking_preview), color_vec("accent", 0.4))
    style.set_color_(int(col.text_selected_bg), color_vec("accent", 0.35))
    style.set_color_(int(col.modal_window_dim_bg), color_vec("window", 0.6))
    style.set_color_(int(col.checkbox_selected_bg), color_vec("fill"))


def _set_plot_style(scale: float) -> None:
    style = implot.get_style()
    style.plot_padding = ImVec2(6 * scale, 6 * scale)
    style.label_padding = ImVec2(4 * scale, 3 * scale)
    style.legend_padding = ImVec2(6 * scale, 4 * scale)
    style.legend_inner_padding = ImVec2(2 * scale, 2 * scale)
    style.plot_border_size = 0
    style.plot_min_size = ImVec2(80 * scale, 60 * scale)
    style.minor_alpha = 0.0
    style.major_tick_len = ImVec2(3 * scale, 3 * scale)
    style.minor_tick_len = ImVec2(0, 0)
    clear = ImVec4(0, 0, 0, 0)
    col = implot.Col_
    for index, value in (
        (col.frame_bg, clear),
        (col.plot_bg, color_vec("field", 0.45)),
        (col.plot_border, clear),
        (col.legend_bg, clear),
        (col.legend_border, clear),
        (col.legend_text, color_vec("text")),
        (col.title_text, color_vec("text")),
        (col.inlay_text, color_vec("text")),
        (col.axis_text, color_vec("dim")),
        (col.axis_grid, color_vec("text", 0.12)),
        (col.axis_tick, color_vec("text", 0.25)),
        (col.axis_bg, clear),
        (col.axis_bg_hovered, color_vec("field", 0.5)),
        (col.axis_bg_active, color_vec("field", 0.8)),
        (col.crosshairs, color_vec("dim")),
    ):
        style.set_color_(int(index), value)
