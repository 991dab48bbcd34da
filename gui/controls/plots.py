"""Plots with axes and units; a legend where there is more than one line.

with ui.figure("Stages", x="pictures", y="ms", height=9, ...) as visible:
    if visible:
        ui.plot_line("synthesis", times)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from imgui_bundle import ImVec2, ImVec4, imgui, implot

from gui.controls import item_rects, property_row
from gui.style import theme

FLAGS = (
    implot.Flags_.no_title
    | implot.Flags_.no_menus
    | implot.Flags_.no_box_select
    | implot.Flags_.no_mouse_text
    | implot.Flags_.no_frame
)
AXIS_FLAGS = implot.AxisFlags_.no_menus | implot.AxisFlags_.no_highlight | implot.AxisFlags_.lock

Limits = tuple[float, float]


@contextmanager
def figure(
    name: str,
    *,
    x: str,
    y: str,
    height: float,
    width: float = 0.0,
    x_limits: Limits,
    y_limits: Limits,
    legend: bool = True,
    equal: bool = False,
) -> Iterator[bool]:
    """Axes of `height` em and `width` em (0 fills the panel); limits are fixed, so that nothing shifts.

    Yields whether the figure is visible: draw only then.
    """
    flags = FLAGS | (0 if legend else implot.Flags_.no_legend) | (implot.Flags_.equal if equal else 0)
    size = (property_row.em(width) if width else -1.0, property_row.em(height))
    is_visible = implot.begin_plot(f"##{name}", size, flags)
    if is_visible:
        implot.setup_axes(x, y, AXIS_FLAGS, AXIS_FLAGS)
        implot.setup_axes_limits(*_nonempty(x_limits), *_nonempty(y_limits), implot.Cond_.always)
        if legend:
            outside = implot.LegendFlags_.outside | implot.LegendFlags_.horizontal
            implot.setup_legend(implot.Location_.north, outside | implot.LegendFlags_.no_menus)
        implot.setup_finish()
    try:
        yield is_visible
    finally:
        if is_visible:
            implot.end_plot()
            item_rects.register_item(name)


def plot_line(name: str, ys: np.ndarray, xs: np.ndarray | None = None, *, color: int = 0) -> None:
    """A line through the points (xs, ys); xs defaults to 0, 1, 2, ..."""
    ys = np.ascontiguousarray(ys, np.float64)
    xs = np.arange(len(ys), dtype=np.float64) if xs is None else np.ascontiguousarray(xs, np.float64)
    count = min(len(xs), len(ys))
    implot.plot_line(name, xs[:count], ys[:count], spec=implot.Spec(line_color=theme.series(color), line_weight=1.5))


def plot_band(name: str, low: np.ndarray, high: np.ndarray, *, start: int = 0, color: int = 0) -> None:
    """The area between two lines, at x = start, start + 1, ..."""
    xs = np.arange(start, start + len(low), dtype=np.float64)
    spec = implot.Spec(fill_color=theme.series(color), fill_alpha=0.85, line_color=theme.series(color))
    implot.plot_shaded(name, xs, np.ascontiguousarray(low, np.float64), np.ascontiguousarray(high, np.float64), spec)


def plot_vertical(name: str, x: float, *, color: int = 0) -> None:
    """A vertical line across the plot, named in the legend."""
    spec = implot.Spec(line_color=theme.series(color), line_weight=1.0)
    implot.plot_inf_lines(name, np.array([x]), spec)


def plot_image(name: str, texture: int, x_limits: Limits, y_limits: Limits) -> None:
    """A texture between limits of the axes, its first row on top."""
    low, high = implot.Point(x_limits[0], y_limits[0]), implot.Point(x_limits[1], y_limits[1])
    implot.plot_image(name, imgui.ImTextureRef(texture), low, high, ImVec2(0, 0), ImVec2(1, 1), ImVec4(1, 1, 1, 1))


def nice_limit(largest: float) -> float:
    """Round up to 1, 2, 5, 10, 20 ...: an axis limit that stays the same while values vary."""
    if not np.isfinite(largest) or largest <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(largest))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= largest * 0.999))


def _nonempty(limits: Limits) -> Limits:
    low, high = limits
    return (low, high) if high > low else (low, low + 1.0)
