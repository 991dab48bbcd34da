"""OpenGL contexts of glfw windows, whether a context renders in software, and reading back its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gui.backend.base import REQUIREMENT, NoDisplayError, ScreenError
from gui.platform_dirs import missing_display_reason, prepare_window_gl

SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swr", "software", "swiftshader", "gdi generic", "basic render")


def is_software_renderer(GL: Any) -> bool:
    """Whether the current OpenGL context renders on the CPU."""
    renderer = (GL.glGetString(GL.GL_RENDERER) or b"").decode(errors="replace").lower()
    return any(word in renderer for word in SOFTWARE_RENDERERS)


def read_pixels(GL: Any, width: int, height: int) -> np.ndarray:
    """Read the bound framebuffer, first row on top, uint8 [H, W, 3]."""
    GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)
    data = GL.glReadPixels(0, 0, width, height, GL.GL_RGB, GL.GL_UNSIGNED_BYTE)
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)[::-1].copy()


class HiddenContext:
    """The OpenGL context of an invisible window, for systems without EGL.

    Raises ScreenError where no window can be created.
    """

    def __init__(self) -> None:
        import glfw

        self._glfw = glfw
        self._window = create_window(64, 64, "Bandlimit", visible=False)

    def make_current(self) -> None:
        self._glfw.make_context_current(self._window)

    def close(self) -> None:
        self._glfw.destroy_window(self._window)


def create_window(width: int, height: int, title: str, visible: bool) -> Any:
    """Create a glfw window with an OpenGL 3.3 core context and make the context current.

    Raises NoDisplayError without a display, ScreenError without such a context.
    """
    import glfw  # late: not needed off-screen on Linux; after imgui_bundle, which chooses libglfw

    problems: list[str] = []
    glfw.set_error_callback(lambda _code, text: problems.append(_decode(text)))
    missing = missing_display_reason()
    if missing or not glfw.init():
        raise NoDisplayError(missing or f"No window can be opened here ({_first(problems)}).")
    prepare_window_gl()
    glfw.default_window_hints()
    glfw.window_hint(glfw.VISIBLE, visible)
    glfw.window_hint(glfw.CONTEXT_VERSION_MAJOR, 3)
    glfw.window_hint(glfw.CONTEXT_VERSION_MINOR, 3)
    glfw.window_hint(glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE)
    glfw.window_hint(glfw.OPENGL_FORWARD_COMPAT, True)
    glfw.window_hint(glfw.SCALE_TO_MONITOR, True)
    window = glfw.create_window(width, height, title, None, None)
    if not window:
        raise ScreenError(
            f"{REQUIREMENT}, and this display gives no such context ({_first(problems)}): update the graphics driver, "
            "or run with --offscreen."
        )
    if visible:
        glfw.set_window_size_limits(window, 480, 320, glfw.DONT_CARE, glfw.DONT_CARE)
    glfw.make_context_current(window)
    return window


def _decode(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text


def _first(problems: Sequence[str]) -> str:
    return problems[0].strip().rstrip(".") if problems else "no reason given"
