"""Bringing pictures to one square size: scaling, cutting the middle out, letterboxing."""

from __future__ import annotations

from PIL import Image

TRANSFORMS = ("center-crop", "center-crop-wide")
FILTERS = {"lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}


def crop_resize(
    image: Image.Image, width: int, height: int, transform: str | None, resize_filter: str = "lanczos"
) -> Image.Image | None:
    """The picture, mode "L" or "RGB", at `width` x `height`; None where center-crop-wide finds it too small.

    Without a transform it is stretched. center-crop takes the largest square in the middle. center-crop-wide takes a
    wide middle part and lays it on black, `width` x `width`, as the published tool does.
    """
    if transform == "center-crop":
        side = min(image.size)
        return resize(_center_crop(image, side, side), width, height, resize_filter)
    if transform == "center-crop-wide":
        return _letterbox(image, width, height, resize_filter)
    return resize(image, width, height, resize_filter)


def resize(image: Image.Image, width: int, height: int, resize_filter: str) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), FILTERS[resize_filter])


def _letterbox(image: Image.Image, width: int, height: int, resize_filter: str) -> Image.Image | None:
    # The height that is kept is the picture's own, measured in output widths: this is how the published archives were
    # made, and it is kept so that new archives equal them.
    crop_height = round(width * image.height / image.width)
    if image.width < width or crop_height < height:
        return None
    strip = resize(_center_crop(image, image.width, crop_height), width, height, resize_filter)
    canvas = Image.new(image.mode, (width, width))
    canvas.paste(strip, (0, (width - height) // 2))
    return canvas


def _center_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
