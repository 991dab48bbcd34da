"""Layers: looks into any layer of the network with any inspector: as an image, as a spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Panel, PanelContext, SecondaryView
from renderer.messages import LayerInfo
from session import Capture, Inspect, Scene, Spectrum
from session.fields import describe
from session.inspect import Inspector

TABLE_ROWS = 13  # of the table, with its header
PICTURE = "Picture"
BITS = {"float32": "32", "float16": "16", "bfloat16": "b16", "float64": "64"}
INSPECTORS: dict[str, type[Inspector]] = {
    name: field.kind for name, field in describe(Inspect).items() if issubclass(field.kind, Inspector)
}
FIRST = describe(Inspect)["show"].default  # its settings are always visible; the others have a section each
# Optional, for the built-in inspectors; any other is drawn from its declaration alone.
MEANINGS = {"spectrum": "Power over frequency of what is looked at"}
LABELS: dict[str, dict[str, Any]] = {
    "picture.gain_db": {"label": "Gain"},
    "picture.normalize": {"text": "Normalise each channel"},
    "picture.colormap": {"label": "Colours"},
    "spectrum.all_channels": {"text": "Sum of all channels"},
    "spectrum.beta": {"label": "Kaiser β"},
    "spectrum.range_db": {"label": "Range ±"},
    "spectrum.colormap": {"label": "Colours"},
}


def draw(value: Scene, context: PanelContext) -> Scene:
    capture = _table(value.capture, context)
    layer = next((layer for layer in _layers(context) if layer.name == capture.layer), None)
    capture = _channels(capture, layer, context)
    inspect = _fields(value.inspect, FIRST, capture)
    _stats(context)
    for name in INSPECTORS:
        if name != FIRST:
            inspect = _section(replace(value, capture=capture, inspect=inspect), name, layer, context)
    if (capture, inspect) == (value.capture, value.inspect):
        return value
    return replace(value, capture=capture, inspect=inspect)


def _section(scene: Scene, name: str, layer: LayerInfo | None, context: PanelContext) -> Inspect:
    """Draw the section of one inspector, folded at first: plots, settings, and the button that shows its image."""
    inspect, kind = scene.inspect, INSPECTORS[name]
    if not ui.section(kind.title, open=False, meaning=MEANINGS.get(name, describe(Inspect)[name].meaning)):
        return inspect
    if plots := PLOTS.get(name):
        shown = replace(scene, inspect=replace(inspect, show=name))
        plots(context.request_view(name, shown), layer, context, getattr(inspect, name))
    inspect = _fields(inspect, name, scene.capture)
    with ui.buttons(1):
        active = inspect.show == name
        meaning = f"Shows the {kind.title.lower()} in place of the picture"
        if ui.button(f"On the canvas##{name}", meaning, active=active):
            inspect = replace(inspect, show=FIRST if active else name)
        ui.register_item(f"show {name}")
    return inspect


def _fields(inspect: Inspect, name: str, capture: Capture) -> Inspect:
    """Draw a row for every field that an inspector declares."""
    before = after = getattr(inspect, name)
    for field in describe(type(before)):
        item_name = f"{name}.{field}"
        row = dict(LABELS.get(item_name, {}))
        if item_name == "picture.colormap":
            row |= {"enabled": not capture.rgb, "why": "Three channels are their own colours: show one channel."}
        after = ui.field_row(after, field, item_name=item_name, **row)
    return inspect if after is before else replace(inspect, **{name: after})


def _layers(context: PanelContext) -> tuple[LayerInfo, ...]:
    return context.model.layers if context.model else ()


def _table(capture: Capture, context: PanelContext) -> Capture:
    """Draw all layers in forward order; a click or the arrow keys choose one."""
    flags = imgui.TableFlags_.scroll_y | imgui.TableFlags_.sizing_stretch_prop | imgui.TableFlags_.no_pad_outer_x
    store, key = imgui.get_state_storage(), imgui.get_id("in sight")
    shown = hash((capture.layer, len(_layers(context)))) % 2**31
    scroll = store.get_int(key) != shown  # changed elsewhere, as by undo: scroll to it once
    store.set_int(key, shown)
    chosen = capture.layer
    height = TABLE_ROWS * (imgui.get_text_line_height() + 2 * imgui.get_style().cell_padding.y)
    if imgui.begin_table("layers", 4, flags, (0, height)):
        imgui.table_setup_scroll_freeze(0, 1)
        for title, width in (("Layer", 5.0), ("Size", 3.4), ("Channels", 2.6), ("Bits", 1.4)):
            imgui.table_setup_column(title, imgui.TableColumnFlags_.width_stretch, width)
        imgui.table_headers_row()
        last = context.model
        size = (last.resolution, last.resolution, last.channels, "") if last else ("", "", "", "")
        if _row(PICTURE, "", size, capture.layer == "", scroll):
            chosen = ""
        for layer in _layers(context):
            columns = (layer.width, layer.height, layer.channels, layer.dtype)
            if _row(layer.name, layer.name, columns, capture.layer == layer.name, scroll):
                chosen = layer.name
        imgui.end_table()
    ui.register_item("layer")
    return replace(capture, layer=chosen) if chosen != capture.layer else capture


def _row(title: str, key: str, columns: tuple[object, object, object, str], chosen: bool, scroll: bool) -> bool:
    width, height, channels, dtype = columns
    imgui.table_next_row()
    imgui.table_next_column()
    flags = imgui.SelectableFlags_.span_all_columns | imgui.SelectableFlags_.select_on_nav
    imgui.push_style_color(imgui.Col_.header, ui.color_vec("accent", 0.3))
    pressed = imgui.selectable(f"{title}##{key}", chosen, flags)[0]
    imgui.pop_style_color()
    ui.register_item(f"layer {title}")
    if chosen and scroll and not imgui.is_item_visible():
        imgui.set_scroll_here_y()
    imgui.table_next_column()
    imgui.text(f"{width} × {height}" if width != height else f"{width}²" if width else "")
    imgui.table_next_column()
    imgui.text(str(channels))
    imgui.table_next_column()
    imgui.text(BITS.get(dtype, dtype))
    return pressed


def _channels(capture: Capture, layer: LayerInfo | None, context: PanelContext) -> Capture:
    count = layer.channels if layer else context.model.channels if context.model and not capture.layer else 0
    capture = ui.checkbox(capture, "rgb", label="Show", text="Three channels as colours")
    shown = 3 if capture.rgb else 1
    return ui.integer(capture, "channel", high=max(count - shown, 0) if count else None, label="Channel")


def _stats(context: PanelContext) -> None:
    """Draw mean, deviation and largest magnitude of all channels and of those shown."""
    stats = context.result.stats if context.result and not context.result.preview else None
    if not imgui.begin_table("stats", 3, imgui.TableFlags_.sizing_stretch_same | imgui.TableFlags_.no_pad_outer_x):
        return
    words = (("Mean", "mean"), ("Deviation", "std"), ("Largest", "max_abs"))
    for title in ("", "All channels", "Shown"):
        imgui.table_setup_column(title)
    imgui.table_headers_row()
    for word, name in words:
        imgui.table_next_row()
        for text in (word, *(_number(getattr(stats, prefix + name, None)) for prefix in ("", "shown_"))):
            imgui.table_next_column()
            imgui.text(text)
    imgui.end_table()


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    text = f"{abs(value):.3f}" if abs(value) < 1000 else f"{abs(value):.3g}"
    return ("\N{MINUS SIGN}" if value < 0 else "\N{FIGURE SPACE}") + text


def _spectrum_plots(
    view: SecondaryView | None, layer: LayerInfo | None, context: PanelContext, spectrum: Spectrum
) -> None:
    """Draw the power spectrum and its radial profile, in cycles per image width."""
    readings = view.result.readings if view else {}
    nyquist = float(readings["nyquist"][0]) if "nyquist" in readings else _nyquist(layer, context)
    side = imgui.get_content_region_avail().x / ui.em() - 1.0  # the y axis is wider than the x axis is high
    axis, limits = "cycles per image width", (-nyquist, nyquist)
    with ui.figure(
        "Spectrum plane", x=axis, y=axis, height=side, x_limits=limits, y_limits=limits, legend=False
    ) as is_visible:
        if is_visible and view:
            # With an even size, zero frequency is half a step right of and below the middle.
            shift = nyquist / view.width if view.width % 2 == 0 else 0.0
            ui.plot_image(
                "plane", view.texture, (-nyquist - shift, nyquist - shift), (-nyquist + shift, nyquist + shift)
            )
    ui.hint(f"Colours span ±{spectrum.range_db:g} dB around the mean power.")
    end = max(nyquist, layer.stopband or 0.0) if layer else nyquist
    with ui.figure(
        "Radial profile",
        x=axis,
        y="dB",
        height=12,
        x_limits=(0, end * 1.02),
        y_limits=_decibels(readings.get("power_db")),
    ) as is_visible:
        if is_visible and "power_db" in readings:
            ui.plot_line("power", readings["power_db"], readings["frequency"])
        if is_visible and layer and layer.cutoff is not None:
            ui.plot_vertical("cutoff", layer.cutoff, color=1)
        if is_visible and layer and layer.stopband is not None:
            ui.plot_vertical("stopband", layer.stopband, color=3)


def _decibels(power: np.ndarray | None) -> tuple[float, float]:
    """Limits of a line in dB, in steps of 50 so that they stay the same while it varies."""
    finite = power[np.isfinite(power)] if power is not None else ()
    if not len(finite):
        return -50.0, 50.0
    low, high = 50 * np.floor(np.min(finite) / 50), 50 * np.ceil(np.max(finite) / 50)
    return float(max(min(low, -50), -150)), float(max(high, 50))


def _nyquist(layer: LayerInfo | None, context: PanelContext) -> float:
    """The Nyquist frequency of a feature map, until the renderer reports it."""
    if layer:
        return (layer.sampling_rate or layer.width) / 2
    return context.model.resolution / 2 if context.model else 32.0


PLOTS: dict[str, Callable[[SecondaryView | None, LayerInfo | None, PanelContext, Any], None]] = {
    "spectrum": _spectrum_plots
}

panel = Panel("Layers", Scene, draw, dock="right", meaning="Looks into the network, layer by layer")
