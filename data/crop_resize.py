"""Crop and resize images to one size: stretching, center crop, letterboxing."""

from __future__ import annotations

from PIL import Image

TRANSFORMS = ("center-crop", "center-crop-wide")
FILTERS = {"lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}


def crop_resize(
    image: Image.Image, width: int, height: int, transform: str | None, resize_filter: str = "lanczos"
) -> Image.Image | None:
    """Crop and resize an image of mode "L" or "RGB" to `width` x `height`.

    Without a transform the image is stretched. center-crop takes the largest square in the middle. center-crop-wide
    crops to the aspect ratio and pads with black to `width` x `width`, as StyleGAN's dataset tool does; it returns
    None for images that are too small.
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
    # The crop's height is width * image height / image width, not the height of the aspect ratio asked for: this is how
    # published archives were made, and new ones must equal them.
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
