"""Where the picture lies on the canvas: pan, zoom to the cursor, fit. Plain numbers in and out."""

from __future__ import annotations

from dataclasses import dataclass, replace

STEP = 1.2  # one notch of the wheel
SMALLEST, LARGEST = 8.0, 65536.0  # screen points that a picture may be wide
ROOM = 0.96  # of the canvas that a fitted picture takes


@dataclass(frozen=True)
class Look:
    """How the canvas is looked at. `width` is that of the picture in screen points, None fits it in.

    Told by the picture's width on screen and not by a factor, so that looking at a layer of other size stays in place.
    """

    width: float | None = None
    x: float = 0.0  # of the picture's centre from the canvas's, in points
    y: float = 0.0


@dataclass(frozen=True)
class Lie:
    """The rectangle that the picture takes on the screen, in points."""

    left: float
    top: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2


Box = tuple[float, float, float, float]  # left, top, width, height of the canvas in points


def lie(look: Look, box: Box, pixels: tuple[int, int]) -> Lie:
    """Where a picture of so many pixels (width, height) lies; its corner is on whole points, so nothing shimmers."""
    left, top, across, down = box
    width = look.width if look.width is not None else fitted(box, pixels)
    height = width * pixels[1] / max(pixels[0], 1)
    corner = left + across / 2 + look.x - width / 2, top + down / 2 + look.y - height / 2
    return Lie(float(round(corner[0])), float(round(corner[1])), width, height)


def fitted(box: Box, pixels: tuple[int, int]) -> float:
    """The width in points at which all of a picture is seen; a whole zoom where that costs next to no size."""
    width, height = max(pixels[0], 1), max(pixels[1], 1)
    zoom = min(box[2] / width, box[3] / height) * ROOM
    if zoom % 1 < 0.05 * zoom and zoom > 1:
        zoom = float(int(zoom))
    return max(width * zoom, 1.0)


def zoomed(look: Look, box: Box, pixels: tuple[int, int], factor: float, at: tuple[float, float]) -> Look:
    """Larger or smaller by a factor; what lies under the point `at` stays under it."""
    before = lie(look, box, pixels)
    width = min(max(before.width * factor, SMALLEST), LARGEST)
    factor = width / before.width
    centre = before.centre
    moved = tuple(at[i] + (centre[i] - at[i]) * factor for i in (0, 1))
    return Look(width, moved[0] - box[0] - box[2] / 2, moved[1] - box[1] - box[3] / 2)


def panned(look: Look, box: Box, pixels: tuple[int, int], dx: float, dy: float) -> Look:
    """Moved by so many points."""
    return replace(look, width=lie(look, box, pixels).width, x=look.x + dx, y=look.y + dy)


def actual(look: Look, pixels: tuple[int, int], density: float) -> Look:
    """One picture pixel on one screen pixel; `density` is screen pixels a point."""
    return replace(look, width=pixels[0] / density, x=0.0, y=0.0)
