"""The canvas: the picture, large, and what the mouse does to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from imgui_bundle import imgui

from gui.canvas import drag_tools, overlays, viewport
from gui.canvas.views import Shown
from gui.chrome.shortcuts import words
from gui.commands import BY_NAME
from gui.controls import ui
from gui.style import theme
from renderer.messages import RenderResult
from session import Scene

DIM = 0.7  # brightness of a picture that is not what was asked for
Rectangle = tuple[tuple[float, float], tuple[float, float]]  # two opposite corners
NONE = (1, 1)  # the size of no picture
CURSORS = {
    "latent": imgui.MouseCursor_.resize_all,
    "move": imgui.MouseCursor_.resize_all,
    "turn": imgui.MouseCursor_.hand,
    "pan": imgui.MouseCursor_.hand,
}


@dataclass
class Canvas:
    """What the canvas remembers between frames; none of it is part of the document."""

    tool: str = "latent"
    look: viewport.Look = field(default_factory=viewport.Look)
    box: viewport.Box = (0.0, 0.0, 1.0, 1.0)
    pixels: tuple[int, int] = NONE
    dragging: str = ""  # the tool in use, "" between drags
    last: tuple[float, float] = (0.0, 0.0)  # where the hand was in the frame before

    @property
    def zoom(self) -> float:
        """Screen pixels per picture pixel."""
        density = imgui.get_io().display_framebuffer_scale.x or 1.0
        return viewport.lie(self.look, self.box, self.pixels).width * density / max(self.pixels[0], 1)

    def fit(self) -> None:
        self.look = viewport.Look()

    def actual(self) -> None:
        density = imgui.get_io().display_framebuffer_scale.x or 1.0
        self.look = viewport.actual(self.look, self.pixels, density)

    def zoom_by(self, factor: float, at: tuple[float, float] | None = None) -> None:
        """Larger or smaller around a point of the screen, by default the canvas's centre."""
        left, top, across, down = self.box
        at = at or (left + across / 2, top + down / 2)
        self.look = viewport.zoomed(self.look, self.box, self.pixels, factor, at)

    def draw(
        self, shown: Shown, stale: bool, scene: Scene, edit: Callable[[Scene, str], None], ground: str = "canvas"
    ) -> None:
        """Draw the picture and let the mouse work on it; `edit(scene, gesture)` takes what a drag makes.

        `ground` is the colour around the picture.
        """
        corner, room = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail()
        self.box = (corner.x, corner.y, max(room.x, 1.0), max(room.y, 1.0))
        if shown.texture is not None:
            self.pixels = (shown.texture.width, shown.texture.height)
        buttons = imgui.ButtonFlags_.mouse_button_left | imgui.ButtonFlags_.mouse_button_middle
        imgui.invisible_button("canvas", (self.box[2], self.box[3]), buttons)
        ui.mark("Canvas", (corner.x, corner.y, corner.x + self.box[2], corner.y + self.box[3]))
        self._mouse(shown.result, scene, edit)
        if shown.texture is not None:
            self._picture(shown, stale, theme.colour(ground))
        else:
            imgui.get_window_draw_list().add_rect_filled(*_window(), theme.colour(ground))
        if self.dragging and self.dragging != "pan":
            self._readout(drag_tools.readout(self.dragging, scene))

    def toolbar(self, ask: Callable[..., None]) -> None:
        """The slim bar over the picture."""
        imgui.set_cursor_screen_pos((self.box[0] + ui.em(0.5), self.box[1] + ui.em(0.5)))
        imgui.push_style_color(imgui.Col_.child_bg, theme.vec("panel", 0.88))
        imgui.push_style_var(imgui.StyleVar_.child_rounding, ui.em(0.3))
        imgui.push_style_var(imgui.StyleVar_.window_padding, (ui.em(0.2), ui.em(0.2)))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, (ui.em(0.1), 0))
        flags = imgui.ChildFlags_.auto_resize_x | imgui.ChildFlags_.auto_resize_y
        imgui.begin_child("toolbar", (0, 0), flags | imgui.ChildFlags_.always_use_window_padding)
        for tool, word in drag_tools.WORDS.items():
            _word(word, f"tool.{tool}", ask, self.tool == tool)
        imgui.text_colored(theme.vec("line"), "|")
        imgui.same_line()
        _word("Fit", "view.fit", ask, False)
        _word("1:1", "view.actual", ask, False)
        imgui.align_text_to_frame_padding()
        start = imgui.get_cursor_pos_x()
        zoom = f" {self.zoom * 100:.0f} %" if self.pixels != NONE else ""
        imgui.text_colored(theme.vec("dim"), zoom)
        imgui.same_line(start + ui.em(4.0))
        imgui.new_line()
        imgui.end_child()
        imgui.pop_style_var(3)
        imgui.pop_style_color()

    def _mouse(self, result: RenderResult | None, scene: Scene, edit: Callable[[Scene, str], None]) -> None:
        io, hovered = imgui.get_io(), imgui.is_item_hovered()
        at = (io.mouse_pos.x, io.mouse_pos.y)
        if hovered and io.mouse_wheel:
            self.zoom_by(viewport.STEP**io.mouse_wheel, at)
        if hovered and imgui.is_mouse_double_clicked(0):
            self.fit()
        if imgui.is_item_activated():
            middle = imgui.is_mouse_down(imgui.MouseButton_.middle)
            self.dragging, self.last = "pan" if middle else self.tool, at
        if hovered or self.dragging:
            imgui.set_mouse_cursor(CURSORS[self.dragging or self.tool])
        if self.dragging and at != self.last:  # also in the frame that lets go: a flick may fit between two frames
            self._drag(at, result, scene, edit)
        if not imgui.is_item_active():
            self.dragging = ""

    def _drag(
        self, at: tuple[float, float], result: RenderResult | None, scene: Scene, edit: Callable[[Scene, str], None]
    ) -> None:
        """The hand went on to a point."""
        before, self.last = self.last, at
        drag = drag_tools.TOOLS[self.dragging]
        if drag is None:
            self.look = viewport.panned(self.look, self.box, self.pixels, at[0] - before[0], at[1] - before[1])
        else:
            lie = viewport.lie(self.look, self.box, self.pixels)
            edit(drag(scene, before, at, lie.centre, lie.width / _widths(result)), f"canvas {self.dragging}")

    def _picture(self, shown: Shown, stale: bool, ground: int) -> None:
        assert shown.texture is not None
        lie = viewport.lie(self.look, self.box, self.pixels)
        shown.texture.look(self.zoom)
        light = DIM if stale else 1.0
        draw, low = imgui.get_window_draw_list(), (lie.left, lie.top)
        high = (lie.left + lie.width, lie.top + lie.height)
        draw.push_clip_rect(*_window())
        for strip in _around(_window(), (low, high)):  # and not behind it: no pixel is painted in vain
            draw.add_rect_filled(*strip, ground)
        draw.push_clip_rect((self.box[0], self.box[1]), (self.box[0] + self.box[2], self.box[1] + self.box[3]))
        if not shown.opaque:
            draw.add_rect_filled(low, high, theme.colour("window"))  # what shows through transparent pixels
        tint = imgui.get_color_u32((light, light, light, 1.0))
        draw.add_image(imgui.ImTextureRef(shown.texture.name), low, high, (0, 0), (1, 1), tint)
        draw.pop_clip_rect()
        draw.pop_clip_rect()
        ui.mark("Picture", (*low, *high))
        if shown.result is not None and shown.result.preview:
            overlays.corner(self.box, "Preview")

    def _readout(self, text: str) -> None:
        overlays.line(self.box, text)


def _window() -> Rectangle:
    """The whole of the window, also the part of a pixel at its edge that no control gets."""
    corner, size = imgui.get_window_pos(), imgui.get_window_size()
    return (corner.x, corner.y), (corner.x + size.x, corner.y + size.y)


def _around(outer: Rectangle, inner: Rectangle) -> list[Rectangle]:
    """What of the outer rectangle the inner one leaves: four strips, where there are any.

    They meet on whole pixels, a little inside the inner one: between two halves of a pixel some drivers leave a gap.
    """
    (left, top), (right, bottom) = outer
    low_x, low_y = (math.ceil(number) for number in inner[0])
    high_x, high_y = (math.floor(number) for number in inner[1])
    low_x, high_x = min(max(low_x, left), right), min(max(high_x, left), right)
    low_y, high_y = min(max(low_y, top), bottom), min(max(high_y, top), bottom)
    strips = [
        ((left, top), (right, low_y)),
        ((left, high_y), (right, bottom)),
        ((left, low_y), (low_x, high_y)),
        ((high_x, low_y), (right, high_y)),
    ]
    return [(low, high) for low, high in strips if low[0] < high[0] and low[1] < high[1]]


def _widths(result: RenderResult | None) -> float:
    """How many image widths the shown picture is wide: alias-free layers see beyond the picture's edge."""
    if result is None or not result.scene.capture.layer:
        return 1.0
    layer = next((layer for layer in result.model.layers if layer.name == result.scene.capture.layer), None)
    if layer is None or not layer.sampling_rate or not result.scene.inspect.chosen.spatial:
        return 1.0
    return layer.width / layer.sampling_rate


def _word(word: str, name: str, ask: Callable[..., None], active: bool) -> None:
    """A quiet button of the toolbar."""
    imgui.push_style_color(imgui.Col_.button, theme.vec("field_active") if active else (0, 0, 0, 0))
    imgui.push_style_color(imgui.Col_.text, theme.vec("accent" if active else "dim"))
    if imgui.button(word):
        ask(name)
    imgui.pop_style_color(2)
    ui.mark(f"Toolbar/{word}")
    command = BY_NAME[name]
    ui.tooltip(f"{command.meaning}  ({words(command.keys)})")
    imgui.same_line()
