"""Panels on a stage: every panel for real in imgui, without a screen, with a mouse and keys, and networks to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from imgui_bundle import imgui, implot

from gui.controls import ui
from gui.panel import Panel, PanelContext, PerformanceStats, SecondaryView
from gui.style import fonts, theme
from renderer.messages import LayerInfo, MapStats, ModelInfo, RenderResult
from session import Scene, Session
from session.field_paths import get_path, path_of, with_path

DEFAULT = Scene()


def alias_free(c_dim: int = 0) -> ModelInfo:
    """StyleGAN3-R at 1024 pixels, as its published configuration gives it."""
    sizes = (36, 36, 52, 52, 84, 84, 148, 148, 276, 276, 532, 1044, 1044, 1044)
    names = ["input", *(f"L{i}_{size}_{_width(i)}" for i, size in enumerate(sizes)), "L14_1024_3"]
    layers = []
    for i, name in enumerate(names):
        size = 36 if i == 0 else 1024 if i == 15 else sizes[i - 1]
        cutoff = 2.0 * 2 ** (max(i - 1, 0) * 0.62)
        channels = 1024 if i == 0 else 3 if i == 15 else _width(i - 1)
        rate = float(size - 20 if size != 1024 else 1024)
        layers.append(
            LayerInfo(name, size, size, channels, "float16" if i > 9 else "float32", (i,), rate, cutoff, cutoff * 1.6)
        )
    rows = tuple(names)
    return _model("StyleGAN3-R", c_dim, layers, rows, resolution=1024, noise=False, transform=True)


def style2(c_dim: int = 0) -> ModelInfo:
    """StyleGAN2 at 256 pixels with skip connections."""
    layers, rows = [], []
    for step in range(7):
        size = 4 * 2**step
        channels = min(512, 32768 // size)
        for part in ("conv1",) if step == 0 else ("conv0", "conv1"):
            layers.append(LayerInfo(f"b{size}.{part}", size, size, channels, "float32", (len(rows),)))
            rows.append(f"b{size}.{part}")
        layers.append(LayerInfo(f"b{size}.torgb", size, size, 3, "float32", (len(rows),)))
    rows.append("b256.torgb")
    return _model("StyleGAN2", c_dim, layers, tuple(rows), resolution=256, noise=True, transform=False)


def make_context(scene: Scene = DEFAULT, model: ModelInfo | None = None, **other: Any) -> PanelContext:
    """What panels are told, about a scene and a network."""
    return replace(_quiet(scene, model), **other)


@dataclass
class PanelHost:
    """Draws panels, each in a window of its own, frame after frame; what they edit is in `scene`."""

    panels: tuple[Panel, ...]
    scene: Scene = Scene()
    context: PanelContext | None = None
    posted: list[tuple[Any, ...]] = field(default_factory=list)
    theme: str = "dark"
    scale: float = 1.0
    clipboard: str = ""
    arrange: Callable[[int, Panel], None] | None = None

    def prepare(self) -> None:
        """Nothing comes before the first frame here."""

    def draw(self) -> None:
        """One frame of every panel."""
        ui.begin_frame()
        post_command = lambda *posted: self.posted.append(posted)  # noqa: E731
        context = replace(
            self.context or make_context(), scene=self.scene, session=Session((self.scene,)), post_command=post_command
        )
        for index, panel in enumerate(self.panels):
            (self.arrange or _column)(index, panel)
            imgui.begin(panel.title, flags=imgui.WindowFlags_.no_saved_settings)
            with ui.panel(panel.title):
                place = path_of(panel.part)
                before = get_path(self.scene, place) if place else self.scene
                after = panel.draw(before, context)
                self.scene = with_path(self.scene, place, after) if place else after
            imgui.end()

    def after_drawing(self, read_pixels: Callable[[], np.ndarray]) -> None:
        """Nothing is saved here."""


class ImguiContext:
    """An imgui context that no screen looks at, with a mouse: fast enough for many documents."""

    def __init__(self, width: int = 320, height: int = 2000) -> None:
        self._imgui, self._implot = imgui.create_context(), implot.create_context()
        io = imgui.get_io()
        io.display_size, io.delta_time = imgui.ImVec2(width, height), 1 / 60
        io.set_ini_filename("")
        io.config_flags |= imgui.ConfigFlags_.nav_enable_keyboard
        io.backend_flags |= imgui.BackendFlags_.renderer_has_textures
        fonts.load()
        theme.apply("dark")

    def frames(self, host: PanelHost, count: int = 1) -> None:
        """Draw some frames."""
        for _ in range(count):
            imgui.new_frame()
            host.draw()
            imgui.render()
            for texture in imgui.get_draw_data().textures:  # stand in for the graphics card
                texture.set_tex_id(1)
                texture.set_status(imgui.ImTextureStatus.ok)

    def click(self, host: PanelHost, place: str, button: int = 0, across: float = 0.5) -> None:
        """Click a control by its place, `across` of the way from its left to its right."""
        self.hover(host, place, across)
        io = imgui.get_io()
        io.add_mouse_button_event(button, True)
        self.frames(host, 2)
        io.add_mouse_button_event(button, False)
        self.frames(host, 2)

    def hover(self, host: PanelHost, place: str, across: float = 0.5) -> None:
        """Rest the mouse on a control."""
        self.frames(host, 2)
        left, top, right, bottom = ui.ITEM_RECTS[place]
        imgui.get_io().add_mouse_pos_event(left + (right - left) * across, (top + bottom) / 2)
        self.frames(host, 2)

    def drag(self, host: PanelHost, start: str, end: str, across: tuple[float, float] = (0.5, 0.5)) -> None:
        """Press on one control and let go on another."""
        self.hover(host, start, across[0])
        io = imgui.get_io()
        io.add_mouse_button_event(0, True)
        self.frames(host, 2)
        x0, y0 = io.mouse_pos.x, io.mouse_pos.y
        left, top, right, bottom = ui.ITEM_RECTS[end]
        x1, y1 = left + (right - left) * across[1], (top + bottom) / 2
        for part in np.linspace(0, 1, 24)[1:]:
            io.add_mouse_pos_event(x0 + (x1 - x0) * part, y0 + (y1 - y0) * part)
            self.frames(host)
        io.add_mouse_button_event(0, False)
        self.frames(host, 2)

    def press(self, host: PanelHost, key: imgui.Key) -> None:
        """Press and release a key."""
        for down in (True, False):
            imgui.get_io().add_key_event(key, down)
            self.frames(host, 2)

    def type(self, host: PanelHost, text: str) -> None:
        """Type characters."""
        imgui.get_io().add_input_characters_utf8(text)
        self.frames(host, 2)

    def __enter__(self) -> ImguiContext:
        return self

    def __exit__(self, *_: object) -> None:
        for texture in imgui.get_platform_io().textures:
            texture.set_tex_id(0)
            texture.set_status(imgui.ImTextureStatus.destroyed)
        implot.destroy_context(self._implot)
        imgui.destroy_context(self._imgui)


def spectrum_view(name: str, scene: Scene, context: PanelContext) -> SecondaryView:
    """A second picture with the readings that a spectrum has."""
    power, frequency = np.linspace(30, -45, 64, dtype=np.float32), np.linspace(0, 32, 64, dtype=np.float32)
    readings = {"power_db": power, "frequency": frequency, "nyquist": np.array([32], np.float32)}
    assert context.result is not None
    return SecondaryView(1, 64, 64, replace(context.result, view=name, scene=scene, readings=readings))


def _quiet(scene: Scene, model: ModelInfo | None) -> PanelContext:
    result = None
    if model is not None:
        stats = MapStats(0.0123, 0.456, 3.21, -0.2, 0.51, 2.9)
        frame = np.zeros((model.resolution, model.resolution, 4), np.uint8)
        timing = {"mapping": 0.1, "synthesis": 30.0, "picture": 0.6, "total": 30.7}
        shown = 2 if model.c_dim else None
        result = RenderResult("canvas", 1, scene, frame, model, stats, timing, {}, shown, None, "L9_276_323")
    return PanelContext(
        session=Session((scene,)),
        scene=scene,
        model=model,
        result=result,
        problem="",
        progress=None,
        time=0.0,
        playing=False,
        performance=_performance() if model else PerformanceStats(),
        settings={"recents": (), "frame_limit": 60, "vsync": True, "capture_folder": "/home/you/Pictures/Bandlimit"},
        post_command=lambda *posted: None,
        request_view=lambda name, scene: None,
    )


def _performance() -> PerformanceStats:
    rng = np.random.default_rng(0)
    wave = 1 + 0.1 * rng.standard_normal(120)
    stages = {"mapping": 0.9 * wave, "synthesis": 28 * wave, "picture": 1.6 * wave, "upload": 0.8 * wave}
    return PerformanceStats(stages, 31.2, 60.0, 47.0)


def _model(
    family: str,
    c_dim: int,
    layers: list[LayerInfo],
    rows: tuple[str, ...],
    *,
    resolution: int,
    noise: bool,
    transform: bool,
) -> ModelInfo:
    return ModelInfo(
        path="",
        name="network",
        file="/data/runs/00012-stylegan3-r-ffhqu-1024/network-snapshot-025000.safetensors",
        digest="3f2a91c0d4e5b6a7988899aabbccddeeff00112233445566778899aabbccddee",
        family=family,
        z_dim=512,
        c_dim=c_dim,
        w_dim=512,
        num_ws=len(rows),
        resolution=resolution,
        channels=3,
        parameters=22_300_000,
        layers=tuple(layers),
        row_names=rows,
        has_noise=noise,
        has_transform=transform,
        device="cpu",
        device_name="CPU, 2 threads",
        precision="float32",
        kernels="plain torch: no compiler was found",
        channel_order="rgb",
        weights=("G_ema", "G") if c_dim else ("G_ema",),
        note="random weights: not trained yet" if c_dim else "",
    )


def _width(index: int) -> int:
    return (1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 724, 456, 287, 181, 114, 72)[index]


def _column(index: int, panel: Panel) -> None:
    imgui.set_next_window_pos((0, 0))
    imgui.set_next_window_size((320, 2000))
