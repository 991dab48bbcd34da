"""Pictures on the graphics card: a texture that takes a new frame every time the renderer has one."""

from __future__ import annotations

import ctypes

import numpy as np

SOFTWARE = ("llvmpipe", "softpipe", "swr")  # drawn by the CPU: a copy through a pixel buffer buys nothing there


class StreamTexture:
    """An RGBA texture of changing content; needs a current OpenGL context, as does `close`."""

    def __init__(self) -> None:
        from OpenGL import GL  # imported late: the driver first says to PyOpenGL how its context is made

        self._gl = GL
        self.width = self.height = 0
        self.name = int(GL.glGenTextures(1))
        renderer = GL.glGetString(GL.GL_RENDERER) or b""
        self._direct = any(word in renderer.decode(errors="replace") for word in SOFTWARE)
        self._buffers: list[int] = []
        self._buffer_bytes = 0
        self._turn = 0
        self._look: tuple[bool, bool] | None = None
        self._mipmaps_stale = True
        GL.glBindTexture(GL.GL_TEXTURE_2D, self.name)
        for side in (GL.GL_TEXTURE_WRAP_S, GL.GL_TEXTURE_WRAP_T):
            GL.glTexParameteri(GL.GL_TEXTURE_2D, side, GL.GL_CLAMP_TO_EDGE)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)

    def upload(self, frame: np.ndarray) -> None:
        """Show another frame, uint8 [H, W, 4]; the array may change as soon as this returns."""
        GL = self._gl
        frame = np.ascontiguousarray(frame)
        height, width = frame.shape[:2]
        GL.glBindTexture(GL.GL_TEXTURE_2D, self.name)
        GL.glPixelStorei(GL.GL_UNPACK_ALIGNMENT, 4)
        if (width, height) != (self.width, self.height):
            GL.glTexImage2D(
                GL.GL_TEXTURE_2D,
                0,
                GL.GL_RGBA8,
                width,
                height,
                0,
                GL.GL_RGBA,
                GL.GL_UNSIGNED_BYTE,
                frame.ctypes.data_as(ctypes.c_void_p),
            )
            self.width, self.height = width, height
        elif self._direct:
            self._put(width, height, frame.ctypes.data_as(ctypes.c_void_p))
        else:
            self._through_buffer(frame, width, height)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        self._mipmaps_stale = True

    def look(self, zoom: float) -> None:
        """Choose the filter for a size on screen: `zoom` is screen pixels per picture pixel."""
        GL = self._gl
        nearest, small = zoom >= 2, zoom < 0.5
        if (nearest, small) == self._look and not (small and self._mipmaps_stale):
            return
        GL.glBindTexture(GL.GL_TEXTURE_2D, self.name)
        GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MAG_FILTER, GL.GL_NEAREST if nearest else GL.GL_LINEAR)
        if small and self.width:
            GL.glGenerateMipmap(GL.GL_TEXTURE_2D)
            self._mipmaps_stale = False
        shrunk = GL.GL_LINEAR_MIPMAP_LINEAR if small else GL.GL_LINEAR
        GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MIN_FILTER, shrunk)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        self._look = (nearest, small)

    def close(self) -> None:
        """Give the texture back."""
        if self.name:
            self._gl.glDeleteTextures([self.name])
        if self._buffers:
            self._gl.glDeleteBuffers(len(self._buffers), self._buffers)
        self.name, self._buffers = 0, []

    def _put(self, width: int, height: int, pixels: ctypes.c_void_p | None) -> None:
        GL = self._gl
        GL.glTexSubImage2D(GL.GL_TEXTURE_2D, 0, 0, 0, width, height, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, pixels)

    def _through_buffer(self, frame: np.ndarray, width: int, height: int) -> None:
        """Copy into one of two pixel buffers in turn, so that the card fetches one while the next is written."""
        GL = self._gl
        if not self._buffers:
            self._buffers = [int(name) for name in GL.glGenBuffers(2)]
        if self._buffer_bytes != frame.nbytes:
            for name in self._buffers:
                GL.glBindBuffer(GL.GL_PIXEL_UNPACK_BUFFER, name)
                GL.glBufferData(GL.GL_PIXEL_UNPACK_BUFFER, frame.nbytes, None, GL.GL_STREAM_DRAW)
            self._buffer_bytes = frame.nbytes
        self._turn = 1 - self._turn
        GL.glBindBuffer(GL.GL_PIXEL_UNPACK_BUFFER, self._buffers[self._turn])
        flags = int(GL.GL_MAP_WRITE_BIT) | int(GL.GL_MAP_INVALIDATE_BUFFER_BIT)
        address = GL.glMapBufferRange(GL.GL_PIXEL_UNPACK_BUFFER, 0, frame.nbytes, flags)
        ctypes.memmove(int(address or 0), frame.ctypes.data, frame.nbytes)
        GL.glUnmapBuffer(GL.GL_PIXEL_UNPACK_BUFFER)
        self._put(width, height, None)
        GL.glBindBuffer(GL.GL_PIXEL_UNPACK_BUFFER, 0)
