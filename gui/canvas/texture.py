"""Streaming textures: an image on the GPU whose content changes with every result of the renderer."""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

import numpy as np

from gui.backend.gl_context import is_software_renderer
from gui.canvas.magnified_texture import Magnification, MagnifiedTexture
from renderer.messages import GpuFrameHandle


class RegisteredTexture(Protocol):
    """A texture that an interop device can write to."""

    def release(self) -> None:
        """Unregister the texture; never raises."""


class InteropDevice(Protocol):
    """The GPU that both the renderer and the window use."""

    def register(self, texture: int) -> RegisteredTexture: ...

    def copy(self, place: GpuFrameHandle, target: Any) -> None:
        """Queue a copy into a registered texture.

        The copy waits for the image; OpenGL's next command and the renderer's next image wait for the copy.
        """

    def forget(self) -> None:
        """Close the handles of a renderer's memory; never raises."""

    def close(self) -> None:
        """Close everything; never raises."""


class StreamTexture:
    """An RGBA image of changing content. All methods need a current OpenGL context.

    It alternates between two textures: one may still be read for the frame on screen while the other is filled.
    """

    def __init__(self) -> None:
        from OpenGL import GL  # late: the backend sets PyOpenGL's platform first

        self._gl = GL
        self._textures = [_Texture(GL), _Texture(GL)]
        self._shown = 0
        self._skip_pixel_buffer = is_software_renderer(
            GL
        )  # in software rendering a copy through a pixel buffer gains nothing
        self._buffers: list[int] = []
        self._buffer_bytes = 0
        self._images = 0  # number of images so far
        self._magnified: MagnifiedTexture | None = None

    @property
    def name(self) -> int:
        """The OpenGL name to draw with in this frame."""
        return self._textures[self._shown].name

    @property
    def width(self) -> int:
        return self._textures[self._shown].width

    @property
    def height(self) -> int:
        return self._textures[self._shown].height

    def upload(self, frame: np.ndarray) -> None:
        """Upload an image, uint8 [H, W, 4]; the array may change as soon as this returns."""
        GL = self._gl
        frame = np.ascontiguousarray(frame)
        self._shown = 1 - self._shown
        texture = self._textures[self._shown]
        height, width = frame.shape[:2]
        fits = (width, height) == (texture.width, texture.height)
        if not fits:
            texture.unregister(GL)
            texture.width, texture.height = width, height
        GL.glBindTexture(GL.GL_TEXTURE_2D, texture.name)
        GL.glPixelStorei(GL.GL_UNPACK_ALIGNMENT, 4)
        pixels = frame.ctypes.data_as(ctypes.c_void_p)
        if not fits:
            GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, GL.GL_RGBA8, width, height, 0, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, pixels)
        elif self._skip_pixel_buffer:
            self._sub_image(width, height, pixels)
        else:
            self._upload_through_buffer(frame, width, height)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        texture.mipmaps_stale = True
        self._images += 1

    def copy_from_gpu(self, place: GpuFrameHandle, device: InteropDevice) -> None:
        """Show an image that lies in GPU memory. If the device raises, the image before stays."""
        texture = self._textures[1 - self._shown]
        if texture.device is not device or (place.width, place.height) != (texture.width, texture.height):
            texture.register(self._gl, place.width, place.height, device)
        assert texture.registered is not None
        device.copy(place, texture.registered)
        texture.mipmaps_stale = True
        self._shown = 1 - self._shown
        self._images += 1

    def magnified(self, what: Magnification) -> int:
        """The OpenGL name of a texture with a part of the image enlarged into crisp squares, for this frame."""
        self._magnified = self._magnified or MagnifiedTexture()
        self._magnified.update(self.name, self._images, what)
        return self._magnified.name

    def read(self) -> np.ndarray:
        """Read the image back, uint8 [H, W, 4]; waits for the GPU."""
        GL = self._gl
        frame = np.empty((self.height, self.width, 4), np.uint8)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self.name)
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 4)
        target = frame.ctypes.data_as(ctypes.c_void_p)
        GL.glGetTexImage(GL.GL_TEXTURE_2D, 0, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, target)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        return frame

    def set_filter(self, zoom: float) -> None:
        """Choose the filter for a zoom in screen pixels per image pixel."""
        self._textures[self._shown].set_filter(self._gl, nearest=zoom >= 2, small=zoom < 0.5)

    def close(self) -> None:
        """Free the textures and buffers."""
        if self._magnified is not None:
            self._magnified.close()
            self._magnified = None
        for texture in self._textures:
            texture.release()
        self._gl.glDeleteTextures([texture.name for texture in self._textures if texture.name])
        if self._buffers:
            self._gl.glDeleteBuffers(len(self._buffers), self._buffers)
        for texture in self._textures:
            texture.name = 0
        self._buffers = []

    def _sub_image(self, width: int, height: int, pixels: ctypes.c_void_p | None) -> None:
        GL = self._gl
        GL.glTexSubImage2D(GL.GL_TEXTURE_2D, 0, 0, 0, width, height, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, pixels)

    def _upload_through_buffer(self, frame: np.ndarray, width: int, height: int) -> None:
        """Copy into one of two pixel buffers in turn, so that the GPU reads one while the other is written."""
        GL = self._gl
        if not self._buffers:
            self._buffers = [int(name) for name in GL.glGenBuffers(2)]
        if self._buffer_bytes != frame.nbytes:
            for name in self._buffers:
                GL.glBindBuffer(GL.GL_PIXEL_UNPACK_BUFFER, name)
                GL.glBufferData(GL.GL_PIXEL_UNPACK_BUFFER, frame.nbytes, None, GL.GL_STREAM_DRAW)
            self._buffer_bytes = frame.nbytes
        GL.glBindBuffer(GL.GL_PIXEL_UNPACK_BUFFER, self._buffers[self._shown])
        flags = int(GL.GL_MAP_WRITE_BIT) | int(GL.GL_MAP_INVALIDATE_BUFFER_BIT)
        address = GL.glMapBufferRange(GL.GL_PIXEL_UNPACK_BUFFER, 0, frame.nbytes, flags)
        ctypes.memmove(int(address or 0), frame.ctypes.data, frame.nbytes)
        GL.glUnmapBuffer(GL.GL_PIXEL_UNPACK_BUFFER)
        self._sub_image(width, height, None)
        GL.glBindBuffer(GL.GL_PIXEL_UNPACK_BUFFER, 0)


class _Texture:
    """One OpenGL texture with its size and filter."""

    def __init__(self, GL) -> None:
        self.registered: RegisteredTexture | None = None
        self.device: InteropDevice | None = None  # that it is registered with
        self._make(GL)

    def register(self, GL, width: int, height: int, device: InteropDevice) -> None:
        """Allocate its memory for good, with all mipmap levels, and register it with the device."""
        self._renew(GL)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self.name)
        rgba = GL.GL_RGBA, GL.GL_UNSIGNED_BYTE
        for level in range(
            max(width, height).bit_length()
        ):  # all levels at once: the memory of a registered texture must not be reallocated
            size = max(width >> level, 1), max(height >> level, 1)
            GL.glTexImage2D(GL.GL_TEXTURE_2D, level, GL.GL_RGBA8, *size, 0, *rgba, None)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        self.width, self.height = width, height
        self.registered, self.device = device.register(self.name), device

    def unregister(self, GL) -> None:
        """Unregister it, so that its memory may be reallocated."""
        if self.registered is not None:
            self._renew(GL)

    def release(self) -> None:
        if self.registered is not None:
            self.registered.release()
            self.registered = self.device = None

    def _renew(self, GL) -> None:
        self.release()
        GL.glDeleteTextures([self.name])
        self._make(GL)

    def _make(self, GL) -> None:
        self.name = int(GL.glGenTextures(1))
        self.width = self.height = 0
        self.mipmaps_stale = True
        self._filter: tuple[bool, bool] | None = None
        GL.glBindTexture(GL.GL_TEXTURE_2D, self.name)
        for side in (GL.GL_TEXTURE_WRAP_S, GL.GL_TEXTURE_WRAP_T):
            GL.glTexParameteri(GL.GL_TEXTURE_2D, side, GL.GL_CLAMP_TO_EDGE)
        GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)

    def set_filter(self, GL, nearest: bool, small: bool) -> None:
        """Nearest neighbor for large pixels, else linear, with mipmaps where the image is shrunk a lot."""
        if (nearest, small) == self._filter and not (small and self.mipmaps_stale):
            return
        GL.glBindTexture(GL.GL_TEXTURE_2D, self.name)
        GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MAG_FILTER, GL.GL_NEAREST if nearest else GL.GL_LINEAR)
        if small and self.width:
            GL.glGenerateMipmap(GL.GL_TEXTURE_2D)
            self.mipmaps_stale = False
        min_filter = GL.GL_LINEAR_MIPMAP_LINEAR if small else GL.GL_LINEAR
        GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MIN_FILTER, min_filter)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        self._filter = (nearest, small)
