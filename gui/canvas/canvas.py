"""The canvas: shows the image and turns mouse input into edits, zoom and pan."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from imgui_bundle import imgui

from gui.canvas import drag_tools, overlays, pixel_probe, viewport
from gui.canvas.magnified_texture import magnification
from gui.canvas.texture import StreamTexture
from gui.canvas.views import ViewState
from gui.chrome.shortcuts import key_label
from gui.commands import BY_NAME
from gui.controls import ui
from gui.style import theme
from renderer.messages import RenderResult
from session import Scene

CRISP_ZOOM = 2.0  # screen pixels per image pixel from which each image pixel is a crisp square
OUTDATED_BRIGHTNESS = 0.7  # brightness of an image that does not show the current scene
Corners = tuple[tuple[float, float], tuple[float, float]]  # two opposite corners
NO_IMAGE = (1, 1)  # image size while there is no image
CURSORS = {
    "latent": imgui.MouseCursor_.resize_all,
    "move": imgui.MouseCursor_.resize_all,
    "turn": imgui.MouseCursor_.hand,
    "pan": imgui.MouseCursor_.hand,
}


@dataclass
class Canvas:
    """The canvas's state between frames; it is not part of the document."""

    tool: str = "latent"
    smooth: bool = False  # blend large pixels
    view: viewport.ViewTransform = field(default_factory=viewport.ViewTransform)
    box: viewport.Box = (0.0, 0.0, 1.0, 1.0)
    image_size: tuple[int, int] = NO_IMAGE
    active_tool: str = ""  # tool of the drag in progress, "" without a drag
    probe: pixel_probe.Pixel | None = None  # image pixel under the mouse
    last_mouse: tuple[float, float] = (0.0, 0.0)  # mouse position in the previous frame

    @property
    def zoom(self) -> float:
        """Screen pixels per image pixel."""
        density = imgui.get_io().display_framebuffer_scale.x or 1.0
        return viewport.image_rect(self.view, self.box, self.image_size).width * density / max(self.image_size[0], 1)

    def fit(self) -> None:
        self.view = viewport.ViewTransform()

    def show_actual_size(self) -> None:
        density = imgui.get_io().display_framebuffer_scale.x or 1.0
        self.view = viewport.actual_size(self.view, self.image_size, density)

    def zoom_by(self, factor: float, point: tuple[float, float] | None = None) -> None:
        """Zoom by a factor about a point of the screen, by default the canvas's center."""
        left, top, width, height = self.box
        point = point or (left + width / 2, top + height / 2)
        self.view = viewport.zoom_at(self.view, self.box, self.image_size, factor, point)

    def draw(
        self,
        view_state: ViewState,
        is_outdated: bool,
        scene: Scene,
        edit: Callable[[Scene, str], None],
        background: str = "canvas",
    ) -> None:
        """Draw the image and handle the mouse; a drag calls `edit(scene, gesture)`.

        `background` names the color around the image.
        """
        corner, available = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail()
        self.box = (corner.x, corner.y, max(available.x, 1.0), max(available.y, 1.0))
        if view_state.texture is not None:
            self.image_size = (view_state.texture.width, view_state.texture.height)
        buttons = imgui.ButtonFlags_.mouse_button_left | imgui.ButtonFlags_.mouse_button_middle
        imgui.invisible_button("canvas", (self.box[2], self.box[3]), buttons)
        ui.register_item("Canvas", (corner.x, corner.y, corner.x + self.box[2], corner.y + self.box[3]))
        self._handle_mouse(view_state.result, scene, edit)
        if view_state.texture is not None:
            self._draw_image(view_state, is_outdated, theme.color(background))
        else:
            imgui.get_window_draw_list().add_rect_filled(*_window_rect(), theme.color(background))
        if self.active_tool and self.active_tool != "pan":
            self._readout(drag_tools.readout(self.active_tool, scene))

    def toolbar(self, post_command: Callable[..., None]) -> None:
        """Draw the toolbar over the image."""
        imgui.set_cursor_screen_pos((self.box[0] + ui.em(0.5), self.box[1] + ui.em(0.5)))
        imgui.push_style_color(imgui.Col_.child_bg, theme.color_vec("panel", 0.88))
        imgui.push_style_var(imgui.StyleVar_.child_rounding, ui.em(0.3))
        imgui.push_style_var(imgui.StyleVar_.window_padding, (ui.em(0.2), ui.em(0.2)))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, (ui.em(0.1), 0))
        flags = imgui.ChildFlags_.auto_resize_x | imgui.ChildFlags_.auto_resize_y
        imgui.begin_child("toolbar", (0, 0), flags | imgui.ChildFlags_.always_use_window_padding)
        for tool, word in drag_tools.LABELS.items():
            _tool_button(word, f"tool.{tool}", post_command, self.tool == tool)
        imgui.text_colored(theme.color_vec("line"), "|")
        imgui.same_line()
        _tool_button("Fit", "view.fit", post_command, False)
        _tool_button("1:1", "view.actual", post_command, False)
        imgui.align_text_to_frame_padding()
        start = imgui.get_cursor_pos_x()
        zoom = f" {self.zoom * 100:.0f} %" if self.image_size != NO_IMAGE else ""
        imgui.text_colored(theme.color_vec("dim"), zoom)
        imgui.same_line(start + ui.em(4.0))
        imgui.new_line()
        imgui.end_child()
        imgui.pop_style_var(3)
        imgui.pop_style_color()

    def _handle_mouse(self, result: RenderResult | None, scene: Scene, edit: Callable[[Scene, str], None]) -> None:
        io, hovered = imgui.get_io(), imgui.is_item_hovered()
        point = (io.mouse_pos.x, io.mouse_pos.y)
        rect = viewport.image_rect(self.view, self.box, self.image_size)
        self.probe = pixel_probe.pixel_at(point, rect, self.image_size) if hovered and result is not None else None
        if hovered and io.mouse_wheel:
            self.zoom_by(viewport.ZOOM_STEP**io.mouse_wheel, point)
        if hovered and imgui.is_mouse_double_clicked(0):
            self.fit()
        if imgui.is_item_activated():
            middle = imgui.is_mouse_down(imgui.MouseButton_.middle)
            self.active_tool, self.last_mouse = "pan" if middle else self.tool, point
        if hovered or self.active_tool:
            imgui.set_mouse_cursor(CURSORS[self.active_tool or self.tool])
        if (
            self.active_tool and point != self.last_mouse
        ):  # also in the frame of the release: press and release may fall between two frames
            self._drag(point, result, scene, edit)
        if not imgui.is_item_active():
            self.active_tool = ""

    def _drag(
        self, point: tuple[float, float], result: RenderResult | None, scene: Scene, edit: Callable[[Scene, str], None]
    ) -> None:
        """Apply a mouse move to the scene or to the view."""
        before, self.last_mouse = self.last_mouse, point
        drag = drag_tools.TOOLS[self.active_tool]
        if drag is None:
            self.view = viewport.pan_by(
                self.view, self.box, self.image_size, point[0] - before[0], point[1] - before[1]
            )
        else:
            rect = viewport.image_rect(self.view, self.box, self.image_size)
            edit(
                drag(scene, before, point, rect.center, rect.width / _width_in_images(result)),
                f"canvas {self.active_tool}",
            )

    def _draw_image(self, view_state: ViewState, is_outdated: bool, background: int) -> None:
        assert view_state.texture is not None
        rect = viewport.image_rect(self.view, self.box, self.image_size)
        view_state.texture.set_filter(self.zoom)
        brightness = OUTDATED_BRIGHTNESS if is_outdated else 1.0
        draw, corner_min = imgui.get_window_draw_list(), (rect.left, rect.top)
        corner_max = (rect.left + rect.width, rect.top + rect.height)
        draw.push_clip_rect(*_window_rect())
        for strip in _frame_strips(
            _window_rect(), (corner_min, corner_max)
        ):  # only around the image, so that no pixel is painted twice
            draw.add_rect_filled(*strip, background)
        draw.push_clip_rect((self.box[0], self.box[1]), (self.box[0] + self.box[2], self.box[1] + self.box[3]))
        if not view_state.is_opaque:
            draw.add_rect_filled(corner_min, corner_max, theme.color("window"))  # visible through transparent pixels
        tint = imgui.get_color_u32((brightness, brightness, brightness, 1.0))
        self._add_image(view_state.texture, (*corner_min, *corner_max), tint)
        draw.pop_clip_rect()
        draw.pop_clip_rect()
        ui.register_item("Picture", (*corner_min, *corner_max))
        if view_state.result is not None and view_state.result.preview:
            overlays.draw_corner_label(self.box, "Preview")

    def _add_image(self, texture: StreamTexture, corners: tuple[float, float, float, float], tint: int) -> None:
        """Draw the image; from CRISP_ZOOM on with crisp pixels."""
        draw, name = imgui.get_window_draw_list(), texture.name
        if self.zoom >= CRISP_ZOOM and not self.smooth:
            density = imgui.get_io().display_framebuffer_scale.x or 1.0
            left, top, width, height = self.box
            clip = (left * density, top * density, (left + width) * density, (top + height) * density)
            left, top, right, bottom = (corner * density for corner in corners)
            what = magnification((left, top, right, bottom), clip, (texture.width, texture.height))
            if what is None:
                return
            name = texture.magnified(what)
            left, top, right, bottom = (corner / density for corner in what.visible)
            corners = (left, top, right, bottom)
        draw.add_image(imgui.ImTextureRef(name), corners[:2], corners[2:], (0, 0), (1, 1), tint)

    def _readout(self, text: str) -> None:
        overlays.draw_line(self.box, text)


def _window_rect() -> Corners:
    """The whole window, including the fraction of a pixel at its edge that no item covers."""
    corner, size = imgui.get_window_pos(), imgui.get_window_size()
    return (corner.x, corner.y), (corner.x + size.x, corner.y + size.y)


def _frame_strips(outer: Corners, inner: Corners) -> list[Corners]:
    """The parts of the outer rectangle around the inner one, as up to four strips.

    They end on whole pixels, a little inside the inner rectangle: at fractions of a pixel some drivers leave a gap.
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
    return [
        (corner_min, corner_max)
        for corner_min, corner_max in strips
        if corner_min[0] < corner_max[0] and corner_min[1] < corner_max[1]
    ]


def _width_in_images(result: RenderResult | None) -> float:
    """The width of the shown image in image widths: feature maps of alias-free layers extend beyond the image."""
    if result is None or not result.scene.capture.layer:
        return 1.0
    layer = next((layer for layer in result.model.layers if layer.name == result.scene.capture.layer), None)
    if layer is None or not layer.sampling_rate or not result.scene.inspect.chosen.spatial:
        return 1.0
    return layer.width / layer.sampling_rate


def _tool_button(word: str, name: str, post_command: Callable[..., None], active: bool) -> None:
    """A button of the toolbar that posts a command."""
    imgui.push_style_color(imgui.Col_.button, theme.color_vec("field_active") if active else (0, 0, 0, 0))
    imgui.push_style_color(imgui.Col_.text, theme.color_vec("accent" if active else "dim"))
    if imgui.button(word):
        post_command(name)
    imgui.pop_style_color(2)
    ui.register_item(f"Toolbar/{word}")
    command = BY_NAME[name]
    ui.tooltip(f"{command.meaning}  ({key_label(command.keys)})")
    imgui.same_line()
