"""Performance: the time of each stage of an image, and how often the window is redrawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Panel, PanelContext, PerformanceStats
from session import Scene
from session.fields import Range, Record

STAGES = ("model", "mapping", "synthesis", "picture", "upload")  # in order of execution; the index is the color
PLOT_LENGTH = 120  # images
MIN_COLUMNS_WIDTH = 52.0  # em: from this width on, values are beside the plot


PREFERENCES = ("frame_limit", "vsync", "preview")


@dataclass(frozen=True)
class RedrawSettings(Record):
    """The preferences that this panel edits."""

    frame_limit: Annotated[int, Range(5, 240, "fps"), "Redraws the window at most this often"] = 60
    vsync: Annotated[bool, "Waits for the display before showing a frame: no tearing, a little later"] = True
    preview: Annotated[
        bool, "While a hand is moving, a slow network may show a quicker, less exact picture; saved ones are exact"
    ] = True


def draw(value: Scene, context: PanelContext) -> Scene:
    beside = imgui.get_content_region_avail().x > ui.em(MIN_COLUMNS_WIDTH)
    if beside and imgui.begin_table("columns", 3):
        imgui.table_setup_column("plot", imgui.TableColumnFlags_.width_stretch)
        imgui.table_setup_column("facts", imgui.TableColumnFlags_.width_fixed, ui.em(22))
        imgui.table_setup_column("redraw", imgui.TableColumnFlags_.width_fixed, ui.em(18))
        imgui.table_next_column()
        _plot(context.performance, max(imgui.get_content_region_avail().y / ui.em(), 8))
        imgui.table_next_column()
        _facts(context)
        imgui.table_next_column()
        _redraw_settings(context)
        imgui.end_table()
    elif not beside:
        _plot(context.performance, 9)
        _facts(context)
        _redraw_settings(context)
    return value


def _plot(stats: PerformanceStats, height: float) -> None:
    stages = [name for name in STAGES if name in stats.stages]
    stages += [name for name in stats.stages if name not in STAGES and name != "total"]
    histories = [np.nan_to_num(np.asarray(stats.stages[name], np.float64))[-PLOT_LENGTH:] for name in stages]
    count = min((len(ring) for ring in histories), default=0)
    tops = np.cumsum([ring[len(ring) - count :] for ring in histories], axis=0) if count else np.zeros((0, 0))
    largest = float(np.percentile(tops[-1], 98)) if count else 0.0
    limits = (0.0, ui.nice_limit(largest * 1.1))
    x_limits = (float(1 - PLOT_LENGTH), 0.0)
    with ui.figure("Stages", x="pictures ago", y="ms", height=height, x_limits=x_limits, y_limits=limits) as shown:
        if not shown:
            return
        low = np.zeros(count)
        for index, (name, top) in enumerate(zip(stages, tops, strict=False)):
            ui.plot_band(name, low, top, start=1 - count, color=STAGES.index(name) if name in STAGES else index)
            low = top


def _facts(context: PanelContext) -> None:
    stats, model, result = context.performance, context.model, context.result
    ui.key_value("Pictures", f"{stats.images_per_second:.1f} per second")
    ui.key_value("Window", f"{stats.frames_per_second:.0f} frames per second")
    ui.key_value("Latency", f"{stats.latency:.0f} ms from hand to picture" if stats.latency else "")
    total = result.timing.get("total") if result else None
    ui.key_value("Last picture", f"{total:.1f} ms" if total is not None else "")
    ui.key_value("First stage", (result.resumed_at or "nothing: all was kept") if result else "")
    ui.key_value("Device", f"{model.device_name} · {model.precision}" if model else "")
    ui.key_value("Kernels", model.kernels if model else "", model.kernels if model else "")
    ui.key_value("Pictures come", stats.transport, stats.transport)


def _redraw_settings(context: PanelContext) -> None:
    """Draw the preferences; a change is posted as a command, since they are not part of the document."""
    known = {name: context.settings[name] for name in PREFERENCES if name in context.settings}
    before = RedrawSettings(**known)
    after = ui.integer(before, "frame_limit", label="Frame limit")
    after = ui.checkbox(after, "vsync", label="", text="Wait for the display")
    after = ui.checkbox(after, "preview", label="", text="Preview while dragging")
    for name in PREFERENCES:
        if getattr(after, name) != getattr(before, name):
            context.post_command("settings.set", name, getattr(after, name))


panel = Panel("Performance", Scene, draw, dock="bottom", meaning="Where the time goes")
