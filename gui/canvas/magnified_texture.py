"""Large image pixels as crisp squares: the visible part of the image, enlarged in a texture of its size on screen.

imgui's OpenGL backend draws every texture with a linear filter of its own, whatever the texture asks for. A texture
that has one texel for each screen pixel looks the same with any filter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Rect = tuple[float, float, float, float]  # left, top, right, bottom, in screen pixels


@dataclass(frozen=True)
class Magnification:
    """Which image pixels go to which screen pixels; all numbers are whole."""

    source: tuple[int, int, int, int]  # left, top, right, bottom, in image pixels
    target: tuple[int, int, int, int]  # where `source` goes, relative to `visible`; it may reach beyond it
    visible: tuple[int, int, int, int]  # left, top, right, bottom, in screen pixels


def magnification(image: Rect, clip: Rect, pixels: tuple[int, int]) -> Magnification | None:
    """What has to be enlarged of an image of `pixels` (width, height) at `image`; None where nothing is in `clip`."""
    spans = [_span(image[i], image[i + 2], clip[i], clip[i + 2], pixels[i]) for i in (0, 1)]
    across, down = spans
    if across is None or down is None:
        return None
    (sx0, sx1, tx0, tx1, vx0, vx1), (sy0, sy1, ty0, ty1, vy0, vy1) = across, down
    return Magnification((sx0, sy0, sx1, sy1), (tx0, ty0, tx1, ty1), (vx0, vy0, vx1, vy1))


def _span(start: float, end: float, low: float, high: float, count: int) -> tuple[int, int, int, int, int, int] | None:
    """Source, target and visible interval along one axis."""
    visible = math.floor(max(start, low)), math.ceil(min(end, high))
    size = (end - start) / count  # of an image pixel on screen
    if visible[0] >= visible[1] or size <= 0:
        return None
    first = min(max(math.floor((visible[0] - start) / size), 0), count - 1)
    last = min(max(math.ceil((visible[1] - start) / size), first + 1), count)
    target = round(start + first * size) - visible[0], round(start + last * size) - visible[0]
    low_edge, high_edge = visible[0] + max(target[0], 0), visible[0] + min(target[1], visible[1] - visible[0])
    shift = low_edge - visible[0]
    return (first, last, target[0] - shift, target[1] - shift, low_edge, high_edge) if low_edge < high_edge else None


class MagnifiedTexture:
    """The enlarged part of one image. All methods need the OpenGL context in which it was made."""

    def __init__(self) -> None:
        from OpenGL import GL  # late: the backend sets PyOpenGL's platform first

        self._gl = GL
        self.name = int(GL.glGenTextures(1))
        self._framebuffers = [int(name) for name in GL.glGenFramebuffers(2)]  # read from, drawn to
        self._size = (0, 0)
        self._done: tuple[object, ...] = ()

    def update(self, texture: int, content: object, what: Magnification) -> None:
        """Enlarge a part of a texture; nothing is done where `content` and place are those of the last call."""
        if self._done == (texture, content, what):
            return
        GL = self._gl
        size = what.visible[2] - what.visible[0], what.visible[3] - what.visible[1]
        before = int(GL.glGetIntegerv(GL.GL_FRAMEBUFFER_BINDING))
        scissor = bool(GL.glIsEnabled(GL.GL_SCISSOR_TEST))
        GL.glDisable(GL.GL_SCISSOR_TEST)  # it would clip the copy
        if size != self._size:
            self._allocate(size)
        GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, self._framebuffers[0])
        self._attach(GL.GL_READ_FRAMEBUFFER, texture)
        GL.glBindFramebuffer(GL.GL_DRAW_FRAMEBUFFER, self._framebuffers[1])
        self._attach(GL.GL_DRAW_FRAMEBUFFER, self.name)
        GL.glBlitFramebuffer(*what.source, *what.target, GL.GL_COLOR_BUFFER_BIT, GL.GL_NEAREST)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, before)
        if scissor:
            GL.glEnable(GL.GL_SCISSOR_TEST)
        self._done = (texture, content, what)

    def close(self) -> None:
        """Free the texture."""
        GL = self._gl
        GL.glDeleteFramebuffers(2, self._framebuffers)
        GL.glDeleteTextures([self.name])

    def _allocate(self, size: tuple[int, int]) -> None:
        GL = self._gl
        GL.glBindTexture(GL.GL_TEXTURE_2D, self.name)
        GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, GL.GL_RGBA8, *size, 0, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, None)
        for name in (GL.GL_TEXTURE_MIN_FILTER, GL.GL_TEXTURE_MAG_FILTER):
            GL.glTexParameteri(GL.GL_TEXTURE_2D, name, GL.GL_NEAREST)
        for name in (GL.GL_TEXTURE_WRAP_S, GL.GL_TEXTURE_WRAP_T):
            GL.glTexParameteri(GL.GL_TEXTURE_2D, name, GL.GL_CLAMP_TO_EDGE)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        self._size = size

    def _attach(self, target: Any, texture: int) -> None:
        GL = self._gl
        GL.glFramebufferTexture2D(target, GL.GL_COLOR_ATTACHMENT0, GL.GL_TEXTURE_2D, texture, 0)
