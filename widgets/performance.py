"""Performance: how long each stage of a picture takes, and how fast the window is redrawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Now, Pace, Panel
from session import Scene
from session.fields import Part, Range

STAGES = ("model", "mapping", "synthesis", "picture", "upload")  # in the order of their running, and of their colours
SHOWN = 120  # pictures in the plot
WIDE = 52.0  # em: from here on, facts stand beside the plot


PREFERENCES = ("frame_limit", "vsync", "preview")


@dataclass(frozen=True)
class Redraw(Part):
    """The preferences that stand in this panel."""

    frame_limit: Annotated[int, Range(5, 240, "fps"), "Redraws the window at most this often"] = 60
    vsync: Annotated[bool, "Waits for the display before showing a frame: no tearing, a little later"] = True
    preview: Annotated[
        bool, "While a hand is moving, a slow network may show a quicker, less exact picture; saved ones are exact"
    ] = True


def draw(value: Scene, now: Now) -> Scene:
    beside = imgui.get_content_region_avail().x > ui.em(WIDE)
    if beside and imgui.begin_table("columns", 3):
        imgui.table_setup_column("plot", imgui.TableColumnFlags_.width_stretch)
        imgui.table_setup_column("facts", imgui.TableColumnFlags_.width_fixed, ui.em(22))
        imgui.table_setup_column("redraw", imgui.TableColumnFlags_.width_fixed, ui.em(18))
        imgui.table_next_column()
        _plot(now.pace, max(imgui.get_content_region_avail().y / ui.em(), 8))
        imgui.table_next_column()
        _facts(now)
        imgui.table_next_column()
        _redraw(now)
        imgui.end_table()
    elif not beside:
        _plot(now.pace, 9)
        _facts(now)
        _redraw(now)
    return value


def _plot(pace: Pace, height: float) -> None:
    stages = [name for name in STAGES if name in pace.stages]
    stages += [name for name in pace.stages if name not in STAGES and name != "total"]
    rings = [np.nan_to_num(np.asarray(pace.stages[name], np.float64))[-SHOWN:] for name in stages]
    count = min((len(ring) for ring in rings), default=0)
    tops = np.cumsum([ring[len(ring) - count :] for ring in rings], axis=0) if count else np.zeros((0, 0))
    largest = float(np.percentile(tops[-1], 98)) if count else 0.0
    limits = (0.0, ui.nice_limit(largest * 1.1))
    x_limits = (float(1 - SHOWN), 0.0)
    with ui.figure("Stages", x="pictures ago", y="ms", height=height, x_limits=x_limits, y_limits=limits) as shown:
        if not shown:
            return
        low = np.zeros(count)
        for index, (name, top) in enumerate(zip(stages, tops, strict=False)):
            ui.plot_band(name, low, top, start=1 - count, colour=STAGES.index(name) if name in STAGES else index)
            low = top


def _facts(now: Now) -> None:
    pace, model, result = now.pace, now.model, now.result
    ui.fact("Pictures", f"{pace.pictures_per_second:.1f} per second")
    ui.fact("Window", f"{pace.frames_per_second:.0f} frames per second")
    ui.fact("Latency", f"{pace.latency:.0f} ms from hand to picture" if pace.latency else "")
    total = result.timing.get("total") if result else None
    ui.fact("Last picture", f"{total:.1f} ms" if total is not None else "")
    ui.fact("First stage", (result.reused or "nothing: all was kept") if result else "")
    ui.fact("Device", f"{model.device_name} · {model.precision}" if model else "")
    ui.fact("Kernels", model.kernels if model else "", model.kernels if model else "")
    ui.fact("Pictures come", pace.transport, pace.transport)


def _redraw(now: Now) -> None:
    """The preferences; a change is asked for, not made: they belong to the person, not to the document."""
    known = {name: now.settings[name] for name in PREFERENCES if name in now.settings}
    before = Redraw(**known)
    after = ui.integer(before, "frame_limit", label="Frame limit")
    after = ui.checkbox(after, "vsync", label="", text="Wait for the display")
    after = ui.checkbox(after, "preview", label="", text="Preview while dragging")
    for name in PREFERENCES:
        if getattr(after, name) != getattr(before, name):
            now.ask("settings.set", name, getattr(after, name))


panel = Panel("Performance", Scene, draw, dock="bottom", meaning="Where the time goes")
