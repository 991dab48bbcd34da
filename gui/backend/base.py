"""The base of windows and off-screen screens: imgui context, fonts, scale, and the protocol of what they draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from imgui_bundle import imgui, implot

from gui.preferences import Preferences
from gui.style import fonts, theme

GLSL = "#version 330"
REQUIREMENT = "Bandlimit needs OpenGL 3.3"


class ScreenError(RuntimeError):
    """Nothing can be drawn here; the text is one sentence that says what is needed."""


class NoDisplayError(ScreenError):
    """There is no display to open a window on."""


class FrameSource(Protocol):
    """The app as windows see it: what is drawn, when, and what a window reports back."""

    prefs: Preferences
    closing: bool

    @property
    def theme(self) -> str: ...
    @property
    def scale(self) -> float: ...
    @property
    def title(self) -> str: ...

    @property
    def interval(self) -> float:
        """Seconds from one frame to the next while there is neither input nor a new image."""
        ...

    @property
    def waiting_since(self) -> float | None:
        """When the oldest unanswered request was sent, by time.perf_counter; None: all are answered."""
        ...

    @property
    def answer_count(self) -> int:
        """Number of answers received from the renderer."""
        ...

    def poll(self, seconds: float = 0.0) -> bool:
        """Receive answers of the renderer; return whether a frame is to be drawn for them."""
        ...

    def drop(self, paths: Sequence[str]) -> None:
        """Open a file that was dropped on the window."""
        ...

    def prepare(self) -> None:
        """Called before imgui's new_frame."""
        ...

    def draw(self) -> None:
        """Build one frame, between imgui's new_frame and render."""
        ...

    def after_drawing(self, read_pixels: Callable[[], np.ndarray]) -> None:
        """Called once the frame is painted; `read_pixels()` returns it as uint8 [H, W, 3]."""
        ...


class Screen:
    """Owns the imgui and implot contexts; close it to free them."""

    def __init__(self) -> None:
        self._imgui = imgui.create_context()
        self._implot = implot.create_context()
        Screen.make_current(self)
        self._applied_theme: tuple[str, float] | None = None
        io = imgui.get_io()
        io.set_ini_filename("")  # the app saves the layout among its settings
        io.set_log_filename("")
        io.config_flags |= imgui.ConfigFlags_.docking_enable | imgui.ConfigFlags_.nav_enable_keyboard
        io.config_windows_move_from_title_bar_only = True
        io.config_docking_with_shift = False
        io.config_input_text_cursor_blink = True
        # When a panel raises, imgui repairs its stacks and only logs it, so that the context stays usable.
        io.config_error_recovery_enable_assert = False
        io.config_error_recovery_enable_tooltip = False
        io.config_error_recovery_enable_debug_log = True
        fonts.load()

    def apply_theme(self, name: str, scale: float) -> None:
        """Apply a theme at a scale (the preference times the display's), between frames."""
        if (name, scale) != self._applied_theme:
            theme.apply(name, scale)
            self._applied_theme = (name, scale)

    @property
    def has_queued_input(self) -> bool:
        """Whether imgui holds events back for later frames: it takes one press or release of a key a frame."""
        return not imgui.get_current_context().input_events_queue.empty()

    def render(self, GL: Any, width: int, height: int) -> None:
        """Render the last built frame into the bound framebuffer."""
        GL.glViewport(0, 0, width, height)
        GL.glClearColor(*theme.rgba(theme.palette().window))
        GL.glClear(GL.GL_COLOR_BUFFER_BIT)
        imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())

    def make_current(self) -> None:
        """Make this screen's imgui and implot contexts current, for programs that have several."""
        if self._imgui is not None:
            imgui.set_current_context(self._imgui)
            implot.set_current_context(self._implot)

    def close(self) -> None:
        """Free the contexts; the OpenGL backend must have been shut down before."""
        if self._imgui is not None:
            implot.destroy_context(self._implot)
            imgui.destroy_context(self._imgui)
            self._imgui = self._implot = None
