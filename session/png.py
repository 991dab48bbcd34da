"""PNG files with the session embedded, so that opening one restores the session."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from session.atomic_write import atomic_write
from session.bounded_read import NotPlainFileError, read_bounded
from session.codec import SessionError, from_yaml, to_yaml
from session.document import Session

MAX_FILE_BYTES = 64 * 2**20
TEXT_KEY = "bandlimit"  # name of the PNG's text chunk


def save_png(path: Path, pixels: np.ndarray, session: Session | None = None) -> None:
    """Write uint8 pixels [H, W, 3 or 4] or [H, W] atomically, with the session, if given, embedded. Raises OSError."""
    metadata = PngImagePlugin.PngInfo()
    if session is not None:
        metadata.add_text(TEXT_KEY, to_yaml(session), zip=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        Image.fromarray(pixels).save(part, format="PNG", pnginfo=metadata)


def read_session(path: Path) -> Session:
    """Read the session embedded in a PNG. Raises SessionError if there is none, or the file cannot be read."""
    try:
        with Image.open(io.BytesIO(read_bounded(path, MAX_FILE_BYTES))) as image:
            text = getattr(image, "text", {}).get(TEXT_KEY)
    except NotPlainFileError as error:
        raise SessionError(f"{path} cannot be read ({error.strerror}): choose another file.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SessionError(f"{path.name} is not a picture that can be read: choose another file.") from error
    if text is None:
        raise SessionError(f"{path.name} carries no session: only pictures saved by Bandlimit can be opened again.")
    return from_yaml(text, path.name)


def next_free_path(folder: Path, suffix: str = ".png") -> Path:
    """Return the next numbered path in a folder: 00000.png, 00001.png, ... Never one that exists."""
    stems = [path.stem for path in folder.glob(f"*{suffix}")] if folder.exists() else []
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit() and len(stem) < 19]
    return folder / f"{max(numbers, default=-1) + 1:05d}{suffix}"
