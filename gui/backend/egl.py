"""An OpenGL context without a display: EGL on Mesa's surfaceless platform or on a graphics device."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from gui.backend.base import REQUIREMENT, ScreenError
from gui.platform_dirs import prepare_offscreen_gl

SURFACELESS_MESA, DEVICE = 0x31DD, 0x313F  # EGL_PLATFORM_* values of extensions that the binding has no names for
MAX_DEVICES = 16
MESA = "surfaceless"


class EglContext:
    """A current OpenGL 3.3 core context without a window. Raises ScreenError where there is no EGL."""

    def __init__(self, prefer_gpu: bool = False) -> None:
        """Try Mesa first, whose pixels are the same on every machine; with `prefer_gpu`, the graphics devices."""
        prepare_offscreen_gl()
        try:
            from OpenGL import EGL
            from OpenGL.error import GLError
        except (ImportError, AttributeError, OSError) as error:
            raise ScreenError(
                f"{REQUIREMENT}, and off-screen it needs EGL, which is missing ({error}): "
                "install libegl1, libopengl0 and libgl1-mesa-dri, or run where there is a display."
            ) from error
        self._egl, self._error = EGL, GLError
        self._display = self._context = None
        reasons: list[str] = []
        for name, display in sorted(self._displays(), key=lambda item: prefer_gpu and item[0] == MESA):
            try:
                self._open(display)
                return
            except ScreenError as error:
                reasons.append(f"{name}: {error}")
        reason = "; ".join(reasons) or "no EGL display"
        raise ScreenError(
            f"{REQUIREMENT}, and EGL gives none here ({reason}): install libegl1, libopengl0 and libgl1-mesa-dri, "
            "or a graphics driver."
        )

    def make_current(self) -> None:
        """Make this context current on the calling thread."""
        EGL = self._egl
        EGL.eglMakeCurrent(self._display, EGL.EGL_NO_SURFACE, EGL.EGL_NO_SURFACE, self._context)

    def close(self) -> None:
        """Free the context. The display stays open: EGL shares it among all contexts of the process."""
        if self._context is not None:
            EGL = self._egl
            EGL.eglMakeCurrent(self._display, EGL.EGL_NO_SURFACE, EGL.EGL_NO_SURFACE, EGL.EGL_NO_CONTEXT)
            EGL.eglDestroyContext(self._display, self._context)
            self._context = None

    def _displays(self) -> Iterator[tuple[str, object]]:
        get = self._function(
            "eglGetPlatformDisplayEXT", ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p
        )
        if get is None:
            return
        if display := get(SURFACELESS_MESA, None, None):
            yield MESA, display
        ask = self._function(
            "eglQueryDevicesEXT", ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
        )
        if ask is None:
            return
        devices, count = (ctypes.c_void_p * MAX_DEVICES)(), ctypes.c_int(0)
        if ask(MAX_DEVICES, devices, ctypes.byref(count)):
            for index in range(count.value):
                if display := get(DEVICE, devices[index], None):
                    yield f"device {index}", display

    def _function(self, name: str, result: type, *arguments: object):
        """An extension's function by its name; None where this EGL does not have it."""
        address = self._egl.eglGetProcAddress(name.encode())
        address = ctypes.cast(address, ctypes.c_void_p).value if address else None
        return ctypes.CFUNCTYPE(result, *arguments)(address) if address else None  # type: ignore[arg-type]

    def _open(self, address: object) -> None:
        EGL = self._egl
        display = ctypes.cast(address, EGL.EGLDisplay) if isinstance(address, int) else address
        try:
            if not EGL.eglInitialize(display, None, None):
                raise ScreenError("cannot be started")
            if not EGL.eglBindAPI(EGL.EGL_OPENGL_API):
                raise ScreenError("has no desktop OpenGL")
            attributes = (EGL.EGLint * 5)(
                EGL.EGL_SURFACE_TYPE, EGL.EGL_PBUFFER_BIT, EGL.EGL_RENDERABLE_TYPE, EGL.EGL_OPENGL_BIT, EGL.EGL_NONE
            )
            configs, count = (EGL.EGLConfig * 1)(), EGL.EGLint(0)
            if not EGL.eglChooseConfig(display, attributes, configs, 1, count) or not count.value:
                raise ScreenError("has no fitting configuration")
            version = (EGL.EGLint * 7)(
                EGL.EGL_CONTEXT_MAJOR_VERSION, 3, EGL.EGL_CONTEXT_MINOR_VERSION, 3,
                EGL.EGL_CONTEXT_OPENGL_PROFILE_MASK, EGL.EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT, EGL.EGL_NONE,
            )  # fmt: skip
            context = EGL.eglCreateContext(display, configs[0], EGL.EGL_NO_CONTEXT, version)
            if not context:
                raise ScreenError("has no OpenGL 3.3")
            self._display, self._context = display, context
            self.make_current()
        except self._error as error:  # the binding raises instead of returning false
            self._display = self._context = None
            raise ScreenError(f"refuses ({error.err})") from error
