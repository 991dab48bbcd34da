"""An off-screen window: the same frames, rendered into memory and fed with real mouse and key events.

with Headless(1280, 800) as screen:
    screen.move(640, 400); screen.press(); screen.frame(app); screen.release()
    pixels = screen.screenshot()           # uint8 [H, W, 3]
"""

from __future__ import annotations

import sys
import time

import numpy as np
from imgui_bundle import imgui

from gui.backend.base import GLSL, FrameSource, Screen
from gui.backend.egl import EglContext
from gui.backend.frame_scheduler import FrameScheduler
from gui.backend.gl_context import HiddenContext, is_software_renderer, read_pixels
from gui.chrome.shortcuts import chord

FRAME_SECONDS = 1 / 60  # imgui's delta time in seconds, by default
MODIFIERS = {
    imgui.Key.mod_ctrl: imgui.Key.left_ctrl,
    imgui.Key.mod_shift: imgui.Key.left_shift,
    imgui.Key.mod_alt: imgui.Key.left_alt,
}


class Headless(Screen):
    """Draws an app off-screen. Raises ScreenError where there is no OpenGL."""

    def __init__(
        self, width: int = 1280, height: int = 800, display_scale: float = 1.0, prefer_gpu: bool = False
    ) -> None:
        """Create the context; `prefer_gpu`: on a GPU where there is one, else in software."""
        if sys.platform.startswith("linux"):
            self._context = EglContext(prefer_gpu)
        else:
            self._context = HiddenContext()  # there is no EGL on Windows and macOS
        super().__init__()
        from OpenGL import GL

        self._gl = GL
        self.scheduler = FrameScheduler(is_software_renderer(GL))
        self._last_run = time.perf_counter()
        self.display_scale = display_scale
        self._clipboard = ""
        platform = imgui.get_platform_io()
        platform.platform_get_clipboard_text_fn = lambda _context: self._clipboard
        platform.platform_set_clipboard_text_fn = self._copy
        imgui.backends.opengl3_init(GLSL)
        imgui.get_io().add_focus_event(True)
        self._framebuffer, self._color_texture = int(GL.glGenFramebuffers(1)), int(GL.glGenTextures(1))
        self.width = self.height = 0
        self._painted = True
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Change the size in pixels, from the next frame on."""
        GL = self._gl
        self.width, self.height = width, height
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._color_texture)
        GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, GL.GL_RGBA8, width, height, 0, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, None)
        GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._framebuffer)
        GL.glFramebufferTexture2D(GL.GL_FRAMEBUFFER, GL.GL_COLOR_ATTACHMENT0, GL.GL_TEXTURE_2D, self._color_texture, 0)

    def frame(self, app: FrameSource, seconds: float = FRAME_SECONDS) -> None:
        """Build one frame with a delta time of `seconds`."""
        self.make_current()
        self.apply_theme(app.theme, app.scale * self.display_scale)
        io = imgui.get_io()
        io.display_size = imgui.ImVec2(self.width, self.height)
        io.delta_time = max(seconds, 1e-6)
        app.prepare()
        imgui.backends.opengl3_new_frame()
        imgui.new_frame()
        app.draw()
        imgui.render()
        self._painted = False
        app.after_drawing(self.screenshot)

    def run_once(self, app: FrameSource) -> bool:
        """Run one turn of a window's loop: draw a frame if one is due; return whether it was painted."""
        if not self.scheduler.should_draw(app):
            return False
        before, self._last_run = self._last_run, time.perf_counter()
        self.frame(app, self._last_run - before)
        if self.has_queued_input:
            self.scheduler.on_input()
        if painted := self.scheduler.should_present(app):
            self.paint()
        return painted

    def screenshot(self) -> np.ndarray:
        """Paint the last built frame and return it as uint8 [H, W, 3]."""
        self.paint()
        return read_pixels(self._gl, self.width, self.height)

    def paint(self) -> None:
        """Paint the last built frame if that has not been done."""
        GL = self._gl
        self.make_current()
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._framebuffer)
        if not self._painted:
            self._painted = True
            self.render(GL, self.width, self.height)
            GL.glFinish()

    def make_current(self) -> None:
        """Make the OpenGL, imgui and implot contexts current, for programs that have several."""
        self._context.make_current()
        super().make_current()

    def move(self, x: float, y: float) -> None:
        """Move the mouse to a point in pixels."""
        self.scheduler.on_input()
        imgui.get_io().add_mouse_pos_event(x, y)

    def press(self, button: int = 0) -> None:
        """Press a mouse button: 0 left, 1 right, 2 middle."""
        self.scheduler.on_input()
        imgui.get_io().add_mouse_button_event(button, True)

    def release(self, button: int = 0) -> None:
        """Release a mouse button."""
        self.scheduler.on_input()
        imgui.get_io().add_mouse_button_event(button, False)

    def wheel(self, steps: float) -> None:
        """Turn the wheel; positive is away from the user."""
        self.scheduler.on_input()
        imgui.get_io().add_mouse_wheel_event(0, steps)

    def key(self, keys: str, down: bool) -> None:
        """Press or release a key with its modifiers, as in "ctrl+shift+z"."""
        self.scheduler.on_input()
        io, combined = imgui.get_io(), int(chord(keys))
        for modifier, key in MODIFIERS.items():
            if combined & int(modifier):
                io.add_key_event(modifier, down)
                io.add_key_event(key, down)
        io.add_key_event(imgui.Key(combined & ~int(imgui.Key.mod_mask_)), down)

    def text(self, typed: str) -> None:
        """Type characters."""
        self.scheduler.on_input()
        imgui.get_io().add_input_characters_utf8(typed)

    def close(self) -> None:
        """Free all OpenGL objects and contexts."""
        if self._framebuffer:
            self._gl.glDeleteFramebuffers(1, [self._framebuffer])
            self._gl.glDeleteTextures([self._color_texture])
            self._framebuffer = 0
            imgui.backends.opengl3_shutdown()
        super().close()
        self._context.close()

    def __enter__(self) -> Headless:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _copy(self, _context: object, text: str) -> None:
        self._clipboard = text
