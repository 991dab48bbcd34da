"""Decode images of all common formats to 8-bit grayscale or RGB; errors say why one cannot be decoded."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from data.errors import DatasetError, ImageError

# Pillow warns of unusual metadata in files whose pixels are intact; damaged pixels raise an exception.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Image formats only: Pillow's readers of documents (EPS, PDF) start other programs.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF")
_EXTENSIONS = (
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm .tga .jp2 .j2k .avif"
)
EXTENSIONS = frozenset(_EXTENSIONS.split())
_GRAY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"}
_MODE_NAMES = {  # of Pillow's modes, in the report
    "1": "black and white",
    "P": "palette",
    "PA": "palette",
    "LA": "grey with transparency",
    "RGBA": "transparency",
    "CMYK": "CMYK",
    "I": "16-bit",
    "F": "floating point",
}
_EXIF_TRANSPOSES = {  # EXIF orientation -> the transpose that undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAX_PIXELS = 1 << 28


def is_image_name(name: str) -> bool:
    """Whether a file name has an image's extension; hidden files and macOS's resource forks do not count."""
    return not is_hidden(name) and PurePosixPath(name).suffix.lower() in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder it is in, is hidden or one of macOS's resource forks."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def open_image(data: bytes) -> Image.Image:
    """Open an image and read its header only. Raises ImageError with the reason."""
    with translate_errors():
        try:
            Image.init()
            image = Image.open(io.BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN])
        except Image.UnidentifiedImageError:
            raise ImageError("no picture" if data else "empty file") from None
    if image.width * image.height > _MAX_PIXELS:
        raise ImageError("too large to be a picture of a dataset")
    return image


def decode(image: Image.Image) -> Image.Image:
    """Read the pixels of an opened image and return it. Raises ImageError if they are damaged or truncated."""
    with translate_errors():
        image.load()
    return image


def is_gray(image: Image.Image) -> bool:
    return image.mode in _GRAY_MODES


def describe_mode(image: Image.Image) -> str:
    """Describe the mode of an image that is neither 8-bit grayscale nor RGB; empty for those that are."""
    if image.mode in ("L", "RGB"):
        return "transparency" if "transparency" in image.info else ""
    return "16-bit" if image.mode.startswith("I;16") else _MODE_NAMES.get(image.mode, image.mode)


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation: 1 upright, 2 to 8 rotated or mirrored."""
    try:
        value = image.getexif().get(0x0112, 1)
    except _BROKEN:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def apply_exif_orientation(image: Image.Image) -> Image.Image:
    """Rotate or mirror an image to its EXIF orientation. Nothing else in its EXIF is read: it is often malformed."""
    turn = _EXIF_TRANSPOSES.get(exif_orientation(image))
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image, channels: int, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """Convert to mode "L" for one channel or "RGB" for three.

    Transparency is composited over `background`; 16 bits and floating point are scaled to 8 bits.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        if image.mode != "F":
            values = values / 257
        elif values.size and values.min() >= 0 and values.max() <= 1:
            values = values * 255
        image = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "La", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        below = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(below, image).convert("RGB")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def to_chw(image: Image.Image) -> np.ndarray:
    """Copy an image of mode "L" or "RGB" to a contiguous uint8 array [C,H,W]."""
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def encode_png(image: Image.Image) -> bytes:
    """Encode as an uncompressed PNG, which is fastest to read; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    image.info = {}
    image.save(buffer, format="png", compress_level=0, optimize=False)
    return buffer.getvalue()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate what Pillow raises on a damaged or unsupported image to an ImageError with the reason."""
    try:
        yield
    except DatasetError:
        raise
    except Image.DecompressionBombError:
        raise ImageError("too large to be a picture of a dataset") from None
    except _BROKEN as error:
        raise ImageError(_reason(error)) from None


# What Pillow's readers raise on damaged files.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    NotImplementedError,
    AttributeError,
    AssertionError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "cut off"
    return f"damaged ({text[:60]})" if text else "damaged"
