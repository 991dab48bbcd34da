"""Where the picture lies on the canvas: pan, zoom to the cursor, fit. Plain numbers in and out."""

from __future__ import annotations

from dataclasses import dataclass, replace

ZOOM_STEP = 1.2  # one notch of the wheel
MIN_WIDTH, MAX_WIDTH = 8.0, 65536.0  # screen points that a picture may be wide
FIT_FRACTION = 0.96  # of the canvas that a fitted picture takes


@dataclass(frozen=True)
class ViewTransform:
    """How the canvas is looked at. `width` is that of the picture in screen points, None fits it in.

    Told by the picture's width on screen and not by a factor, so that looking at a layer of other size stays in place.
    """

    width: float | None = None
    x: float = 0.0  # of the picture's centre from the canvas's, in points
    y: float = 0.0


@dataclass(frozen=True)
class ScreenRect:
    """The rectangle that the picture takes on the screen, in points."""

    left: float
    top: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2


Box = tuple[float, float, float, float]  # left, top, width, height of the canvas in points


def image_rect(view: ViewTransform, box: Box, pixels: tuple[int, int]) -> ScreenRect:
    """Where a picture of so many pixels (width, height) lies; its corner is on whole points, so nothing shimmers."""
    left, top, across, down = box
    width = view.width if view.width is not None else fit_width(box, pixels)
    height = width * pixels[1] / max(pixels[0], 1)
    corner = left + across / 2 + view.x - width / 2, top + down / 2 + view.y - height / 2
    return ScreenRect(float(round(corner[0])), float(round(corner[1])), width, height)


def fit_width(box: Box, pixels: tuple[int, int]) -> float:
    """The width in points at which all of a picture is seen; a whole zoom where that costs next to no size."""
    width, height = max(pixels[0], 1), max(pixels[1], 1)
    zoom = min(box[2] / width, box[3] / height) * FIT_FRACTION
    if zoom % 1 < 0.05 * zoom and zoom > 1:
        zoom = float(int(zoom))
    return max(width * zoom, 1.0)


def zoom_at(
    view: ViewTransform, box: Box, pixels: tuple[int, int], factor: float, at: tuple[float, float]
) -> ViewTransform:
    """Larger or smaller by a factor; what lies under the point `at` stays under it."""
    before = image_rect(view, box, pixels)
    width = min(max(before.width * factor, MIN_WIDTH), MAX_WIDTH)
    factor = width / before.width
    center = before.center
    moved = tuple(at[i] + (center[i] - at[i]) * factor for i in (0, 1))
    return ViewTransform(width, moved[0] - box[0] - box[2] / 2, moved[1] - box[1] - box[3] / 2)


def pan_by(view: ViewTransform, box: Box, pixels: tuple[int, int], dx: float, dy: float) -> ViewTransform:
    """Moved by so many points."""
    return replace(view, width=image_rect(view, box, pixels).width, x=view.x + dx, y=view.y + dy)


def actual_size(view: ViewTransform, pixels: tuple[int, int], density: float) -> ViewTransform:
    """One picture pixel on one screen pixel; `density` is screen pixels a point."""
    return replace(view, width=pixels[0] / density, x=0.0, y=0.0)
