"""The characters of all fonts below a folder as pictures for a dataset, white on black, one class a character."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.archive import exists
from data.errors import DatasetError
from data.letters.choosing import chosen
from data.letters.face import Font, Place
from data.letters.font_file import SUFFIXES
from data.letters.looking import FontFiles, Seen, look, read_font
from data.parallel_map import WorkerPool
from data.sources import Source

Progress = Callable[[str, int, int], None]
_FEW = 16  # files: starting processes takes longer than looking at them here


class Letters(Source):
    """Pictures uint8 [H,W] of `resolution` pixels, font by font in the order of their names.

    All characters of a style have one scale and one baseline, as large as they fit, each centered between left and
    right. max_styles: how many of a family are kept, the regular one and those that differ most. strict: leave out
    fonts with anything odd. Raises DatasetError where the folder is missing or holds no fonts.
    """

    noun = "fonts"
    reports_duplicates = False

    def __init__(
        self,
        folder: Path,
        resolution: int,
        characters: tuple[str, ...],
        max_styles: int = 6,
        *,
        workers: int | None = None,
        strict: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if not 8 <= resolution <= 1024:
            raise DatasetError(f"Letters of {resolution} pixels cannot be drawn: choose 8 to 1024.")
        if max_styles < 1:
            raise DatasetError(f"--max-styles is {max_styles}, but a family needs at least one.")
        self.folder, self.resolution, self.classes = folder, resolution, characters
        files = font_files(folder)
        if not files:
            raise DatasetError(f"{folder} holds no fonts: put .ttf, .otf, .ttc, .woff or .woff2 files into it.")
        seen = looked_at(FontFiles(folder, files), characters, workers, progress)
        self.problems, styles = chosen(seen, max_styles, strict)
        pictures = [(style, number) for style in styles for number in style.characters]
        self.names = [f"{style.place.file} {characters[number]}" for style, number in pictures]
        self.labels = [number for _, number in pictures]
        self.styles = [(style.family, style.style) for style, _ in pictures]
        self.fixed_shape = (resolution, resolution, 1)
        self._pictures = [(style.place, characters[number], style.scale, style.middle) for style, number in pictures]
        self._opened: tuple[Place, Font] | None = None

    def read(self, index: int, payload: Any) -> np.ndarray:
        """uint8 [H,W]: drawn four or eight times as large, by how small it is, then filtered down."""
        place, character, scale, middle = self._pictures[index]
        times = 8 if self.resolution < 128 else 4
        side = self.resolution * times
        drawing = self._font(place, scale * side).drawing(character)
        canvas = Image.new("L", (side, side))
        if drawing is not None:
            left = (side - drawing.ink.width) // 2
            canvas.paste(drawing.ink, (left, round(side / 2 + middle * scale * side) + drawing.top))
        return np.asarray(canvas.resize((self.resolution, self.resolution), Image.Resampling.LANCZOS))

    def _font(self, place: Place, size: float) -> Font:
        """Opened once for all its characters, which follow each other."""
        if self._opened is None or self._opened[0] != place:
            self._opened = (place, Font(read_font(self.folder, place.file), place, size))
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "problems": (), "labels": None, "styles": None}


def font_files(folder: Path) -> list[str]:
    """Names of what is called a font, below the folder, sorted; links to folders are not followed."""
    if not exists(folder) or not folder.is_dir():
        raise DatasetError(f"{folder} is no folder: give one with fonts in it.")
    found: list[str] = []

    def fail(error: OSError) -> None:
        raise DatasetError(f"{error.filename} cannot be listed ({error.strerror}): check its permissions.")

    for place, folders, names in os.walk(folder, onerror=fail):
        folders.sort()
        fonts = [name for name in [*names, *folders] if name.lower().endswith(SUFFIXES)]
        found += [Path(place, name).relative_to(folder).as_posix() for name in fonts]
    return sorted(found)


def looked_at(
    files: FontFiles, characters: tuple[str, ...], workers: int | None, progress: Progress | None
) -> Iterator[Seen]:
    """Every style of every file."""
    count = len(files.names)
    workers = workers or min(os.cpu_count() or 1, 16)
    with WorkerPool(files, count, 1 if count <= _FEW else workers, look) as crew:
        for done, seen in enumerate(crew.map_ordered(characters), 1):
            if progress:
                progress("fonts", done, count)
            yield from seen
