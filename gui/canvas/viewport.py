"""Where the image lies on the canvas: pan, zoom about the cursor, fit. No imgui, only numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

ZOOM_STEP = 1.2  # per notch of the wheel
MIN_WIDTH, MAX_WIDTH = 8.0, 65536.0  # bounds of the image's width, in screen points
FIT_FRACTION = 0.96  # of the canvas that a fitted image takes


@dataclass(frozen=True)
class ViewTransform:
    """Pan and zoom of the canvas. `width` is the image's width in screen points, None fits it into the canvas.

    A width and not a factor, so that the view stays in place when a layer of another size is shown.
    """

    width: float | None = None
    x: float = 0.0  # image center relative to the canvas center, in points
    y: float = 0.0


@dataclass(frozen=True)
class ScreenRect:
    """The image's rectangle on screen, in points."""

    left: float
    top: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2


Box = tuple[float, float, float, float]  # left, top, width, height of the canvas, in points


def image_rect(view: ViewTransform, box: Box, pixels: tuple[int, int]) -> ScreenRect:
    """The rectangle of an image of `pixels` (width, height); its corner is on whole points to avoid shimmering."""
    left, top, box_width, box_height = box
    width = view.width if view.width is not None else fit_width(box, pixels)
    height = width * pixels[1] / max(pixels[0], 1)
    corner = left + box_width / 2 + view.x - width / 2, top + box_height / 2 + view.y - height / 2
    return ScreenRect(float(round(corner[0])), float(round(corner[1])), width, height)


def fit_width(box: Box, pixels: tuple[int, int]) -> float:
    """The width in points at which the whole image is visible; an integer zoom where that is nearly as large."""
    width, height = max(pixels[0], 1), max(pixels[1], 1)
    zoom = min(box[2] / width, box[3] / height) * FIT_FRACTION
    if zoom % 1 < 0.05 * zoom and zoom > 1:
        zoom = float(int(zoom))
    return max(width * zoom, 1.0)


def zoom_at(
    view: ViewTransform, box: Box, pixels: tuple[int, int], factor: float, point: tuple[float, float]
) -> ViewTransform:
    """Zoom by a factor; the point `at` stays in place."""
    before = image_rect(view, box, pixels)
    width = min(max(before.width * factor, MIN_WIDTH), MAX_WIDTH)
    factor = width / before.width
    center = before.center
    moved = tuple(point[i] + (center[i] - point[i]) * factor for i in (0, 1))
    return ViewTransform(width, moved[0] - box[0] - box[2] / 2, moved[1] - box[1] - box[3] / 2)


def pan_by(view: ViewTransform, box: Box, pixels: tuple[int, int], dx: float, dy: float) -> ViewTransform:
    """Pan by an offset in points."""
    return replace(view, width=image_rect(view, box, pixels).width, x=view.x + dx, y=view.y + dy)


def actual_size(view: ViewTransform, pixels: tuple[int, int], density: float) -> ViewTransform:
    """Zoom to one image pixel per screen pixel; `density` is screen pixels per point."""
    return replace(view, width=pixels[0] / density, x=0.0, y=0.0)
