"""The desktop window: a glfw and OpenGL loop that draws only when something has changed.

with Window(app.prefs) as window:
    window.run(app)
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from imgui_bundle import imgui  # before glfw: it chooses the libglfw that both load

import glfw  # isort: skip

from gui.backend.base import GLSL, FrameSource, Screen
from gui.backend.frame_scheduler import IDLE_POLL, FrameScheduler
from gui.backend.gl_context import create_window, is_software_renderer, read_pixels
from gui.preferences import Preferences


class Window(Screen):
    """A window with an OpenGL 3.3 context. Raises ScreenError where there can be none."""

    _open = False

    def __init__(self, prefs: Preferences, title: str = "Bandlimit") -> None:
        self._window: Any = create_window(prefs.width, prefs.height, title, visible=True)
        if prefs.left is not None and prefs.top is not None and _on_a_monitor(prefs.left, prefs.top):
            glfw.set_window_pos(self._window, prefs.left, prefs.top)
        super().__init__()
        from OpenGL import GL

        self._gl = GL
        self._dropped: list[str] = []
        self._scheduler = FrameScheduler(is_software_renderer(GL))
        self._title, self._vsync = title, None
        self._set_callbacks()
        address = ctypes.cast(self._window, ctypes.c_void_p).value
        imgui.backends.glfw_init_for_opengl(address or 0, True)  # chains to the callbacks set before
        imgui.backends.opengl3_init(GLSL)
        Window._open = True

    def run(self, app: FrameSource) -> None:
        """Run the loop until the app or the window is closed."""
        while not (app.closing or glfw.window_should_close(self._window)):
            self._wait(IDLE_POLL if self._hidden else self._scheduler.seconds_until_due(app))
            if self._dropped:
                app.drop(self._dropped)
                self._dropped = []
            if self._hidden:  # minimized
                self._scheduler.skip_frame(app)
            elif self._scheduler.should_draw(app):
                self.frame(app)
        app.prefs = self._with_geometry(app.prefs)

    def frame(self, app: FrameSource) -> None:
        """Build one frame, and paint it where the scheduler says so."""
        if app.prefs.vsync != self._vsync:
            self._vsync = app.prefs.vsync
            glfw.swap_interval(1 if self._vsync else 0)
        if app.title != self._title:
            self._title = app.title
            glfw.set_window_title(self._window, app.title)
        self.apply_theme(app.theme, app.scale * _content_scale(self._window))
        app.prepare()
        imgui.backends.opengl3_new_frame()
        imgui.backends.glfw_new_frame()
        imgui.new_frame()
        app.draw()
        imgui.render()
        if self.has_queued_input:
            self._scheduler.on_input()
        if self._scheduler.should_present(app):
            self._paint(app)

    @staticmethod
    def wake() -> None:
        """Wake the event loop; safe on any thread, and without a window."""
        if Window._open:
            glfw.post_empty_event()

    def close(self) -> None:
        """Close the window and free its contexts."""
        if self._window is not None:
            Window._open = False
            imgui.backends.opengl3_shutdown()
            imgui.backends.glfw_shutdown()
            super().close()
            glfw.destroy_window(self._window)
            self._window = None

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _hidden(self) -> bool:
        """Whether the window is minimized or not visible."""
        is_visible = glfw.get_window_attrib(self._window, glfw.VISIBLE)
        return not is_visible or bool(glfw.get_window_attrib(self._window, glfw.ICONIFIED))

    def _paint(self, app: FrameSource) -> None:
        width, height = glfw.get_framebuffer_size(self._window)
        self.render(self._gl, width, height)
        app.after_drawing(lambda: self._pixels(width, height))
        glfw.swap_buffers(self._window)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            glfw.wait_events_timeout(seconds)
        else:
            glfw.poll_events()

    def _set_callbacks(self) -> None:
        """Set callbacks that report every input to the scheduler, and collect dropped files."""

        def on_event(*_: Any) -> None:
            self._scheduler.on_input()

        def on_drop(_window: Any, paths: Any) -> None:
            self._dropped = list(paths)
            self._scheduler.on_input()

        for set_callback in (
            glfw.set_cursor_pos_callback,
            glfw.set_cursor_enter_callback,
            glfw.set_mouse_button_callback,
            glfw.set_scroll_callback,
            glfw.set_key_callback,
            glfw.set_char_callback,
            glfw.set_window_focus_callback,
            glfw.set_window_refresh_callback,
            glfw.set_framebuffer_size_callback,
            glfw.set_window_content_scale_callback,
        ):
            set_callback(self._window, on_event)
        glfw.set_drop_callback(self._window, on_drop)  # type: ignore[arg-type]  # the binding gives (window, paths)

    def _pixels(self, width: int, height: int) -> np.ndarray:
        return read_pixels(self._gl, width, height)

    def _with_geometry(self, prefs: Preferences) -> Preferences:
        """The preferences with the window's size and position."""
        width, height = glfw.get_window_size(self._window)
        left, top = glfw.get_window_pos(self._window)
        if width < 320 or height < 240 or abs(left) > 32000 or abs(top) > 32000:
            return prefs  # minimized
        return replace(prefs, width=width, height=height, left=left, top=top)


def _content_scale(window: Any) -> float:
    """The system's scale of text; 1 on macOS, where the framebuffer is finer and points stay points."""
    return 1.0 if sys.platform == "darwin" else max(glfw.get_window_content_scale(window)[0], 0.5)


def _on_a_monitor(left: int, top: int) -> bool:
    """Whether a window at that position would be visible; monitors may have been removed."""
    for monitor in glfw.get_monitors():
        x, y, width, height = glfw.get_monitor_workarea(monitor)
        if x <= left + 100 < x + width and y <= top + 20 < y + height:
            return True
    return False
