"""Decoding pictures of any common format into plain 8-bit grey or RGB, with the reasons why one cannot be."""

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

# Pillow warns of odd details in files whose pixels are whole; what is wrong with pixels is an exception.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

# What is opened at all: pictures, never documents whose readers start other programs.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF")
_EXTENSIONS = (
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm .tga .jp2 .j2k .avif"
)
EXTENSIONS = frozenset(_EXTENSIONS.split())
_GRAY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"}
_MODE_NAMES = {  # what a mode is called in the report
    "1": "black and white",
    "P": "palette",
    "PA": "palette",
    "LA": "grey with transparency",
    "RGBA": "transparency",
    "CMYK": "CMYK",
    "I": "16-bit",
    "F": "floating point",
}
_EXIF_TRANSPOSES = {  # what undoes each orientation of EXIF
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
    """Whether a file's name is a picture's; hidden files and what macOS puts into archives are not."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and PurePosixPath(name).suffix.lower() in EXTENSIONS


def open_image(data: bytes) -> Image.Image:
    """A picture whose header was read and whose pixels were not. Raises PictureError with the reason."""
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
    """The same with its pixels read. Raises PictureError where they are damaged or cut off."""
    with translate_errors():
        image.load()
    return image


def is_gray(image: Image.Image) -> bool:
    return image.mode in _GRAY_MODES


def describe_mode(image: Image.Image) -> str:
    """What a picture is that is neither 8-bit grey nor 8-bit RGB, in a word or two; empty for those that are."""
    if image.mode in ("L", "RGB"):
        return "transparency" if "transparency" in image.info else ""
    return "16-bit" if image.mode.startswith("I;16") else _MODE_NAMES.get(image.mode, image.mode)


def exif_orientation(image: Image.Image) -> int:
    """How the camera was held, as EXIF counts it: 1 upright, 2 to 8 turned or mirrored."""
    try:
        value = image.getexif().get(0x0112, 1)
    except _BROKEN:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def apply_exif_orientation(image: Image.Image) -> Image.Image:
    """The picture as the camera was held. Nothing else in its EXIF is looked at: cameras write odd things there."""
    turn = _EXIF_TRANSPOSES.get(exif_orientation(image))
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image, channels: int, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """Mode "L" for one channel, "RGB" for three; transparency is laid over `background`, 16 bits become 8."""
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
    """Modes "L" and "RGB" as uint8 [C,H,W], a copy of its own."""
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def encode_png(image: Image.Image) -> bytes:
    """An uncompressed PNG: what training reads fastest, and equal bytes for equal pixels."""
    buffer = io.BytesIO()
    image.info = {}
    image.save(buffer, format="png", compress_level=0, optimize=False)
    return buffer.getvalue()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what Pillow raises on a damaged or strange picture into a PictureError with the reason."""
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
