"""Looking at a font file: which styles it has, which characters they draw, how large, and what is odd about them."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.errors import DatasetError
from data.letters.face import Drawing, Font, Place, family_and_style
from data.letters.font_file import FontError, inspected
from data.sources import Source

MARGIN = 1 / 16  # of the picture's side, left free all round
_EM = 256  # pixels at which fonts are looked at
_MOST_STYLES = 64  # of one file
_LARGEST = 1 << 28
_COMPARED = 64  # characters by which two styles are held to be one
_GRID, _REACH = 16, 1.5  # how finely they are compared, and the em that are
_SMALLEST, _MOST_LEFT_OUT = 0.45, 1 / 8  # see `fitted`
_ABSENT = "\U0010ffff"  # is no character, so a font draws what it draws for those it lacks
_UNLIKE = frozenset("abdeghnqr")  # where small letters are not capitals made small


@dataclass(frozen=True)
class Style:
    """A style that can be drawn.

    characters: which of those asked for, by number. scale: the em in widths of the picture. middle: height of the
    picture's middle above the baseline, in em. likeness uint8 [K,16,16]: how it looks, for comparing.
    """

    place: Place
    family: str
    style: str
    characters: tuple[int, ...]
    scale: float
    middle: float
    likeness: np.ndarray = field(repr=False, compare=False)


@dataclass(frozen=True)
class Seen:
    """What was found at one place: a style, if it can be drawn, and what is odd (kind, detail)."""

    name: str
    style: Style | None
    problems: tuple[tuple[str, str], ...] = ()


class FontFiles(Source):
    """Font files below a folder, read by name."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, names

    def read(self, index: int, payload: Any) -> bytes:
        return read_font(self.folder, str(self.names[index]))


def read_font(folder: Path, name: str) -> bytes:
    """The bytes of a font file. Raises FontError."""
    path = folder / name
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise FontError("a folder" if stat.S_ISDIR(about.st_mode) else "no file")
        if about.st_size > _LARGEST:
            raise FontError("larger than 256 MB")
        return path.read_bytes()
    except OSError as error:
        raise FontError(error.strerror or "cannot be opened") from None


def look(source: Source, index: int, payload: Any, characters: tuple[str, ...]) -> list[Seen]:
    """Every style of one file."""
    name = str(source.names[index])
    try:
        data = source.read(index, payload)
        assert isinstance(data, bytes)
        about = inspected(data)
    except DatasetError as error:
        return [Seen(name, None, (("cannot be read", str(error)),))]
    if about.is_color:
        return [Seen(name, None, (("color font", ""),))]
    if not about.has_outlines:
        return [Seen(name, None, (("no outlines", "bitmaps only"),))]
    if about.is_symbol:
        return [Seen(name, None, (("symbol font", ""),))]
    found: list[Seen] = []
    for number in range(about.fonts):
        for place, font in _opened(data, name, number, about.is_variable):
            if len(found) == _MOST_STYLES:
                return [*found, Seen(name, None, (("too many styles", f"only the first {_MOST_STYLES} looked at"),))]
            found.append(_seen(font, place, characters))
    return found


def _opened(data: bytes, file: str, number: int, variable: bool) -> Iterator[tuple[Place, Font | FontError]]:
    """A font's own style, or, of a variable font, every style that it names; or why it cannot be opened."""
    instance = 1
    while variable:
        place = Place(file, number, instance)
        try:
            yield place, Font(data, place, _EM)
        except FontError:  # there are no more
            break
        instance += 1
    if instance == 1:
        try:
            yield Place(file, number), Font(data, Place(file, number), _EM)
        except FontError as error:
            yield Place(file, number), error


def _seen(font: Font | FontError, place: Place, characters: tuple[str, ...]) -> Seen:
    title = f"{place.file} #{place.number + 1}" if place.number else place.file
    try:
        if isinstance(font, FontError):
            raise font
        family, style = font.names()
        title = f"{title} {style}" if place.instance else title
        drawings, problems = _drawn(font, characters)
        kept, scale, middle, too_large = fitted(drawings)
    except FontError as error:
        return Seen(title, None, (("cannot be read", str(error)),))
    if too_large:
        problems.append(("too large beside the others", _listed([characters[index] for index in too_large])))
    if not kept:
        return Seen(title, None, tuple(problems))
    family, style = family_and_style(family, style, place.file)
    compared = sorted({index * len(characters) // _COMPARED for index in range(_COMPARED)} | {0})
    likeness = np.stack([_likeness(drawings.get(index)) for index in compared])
    return Seen(title, Style(place, family, style, kept, scale, middle, likeness), tuple(problems))


def _drawn(font: Font, characters: tuple[str, ...]) -> tuple[dict[int, Drawing], list[tuple[str, str]]]:
    """The characters that the font has, by number, and what is odd about them."""
    absent = font.drawing(_ABSENT)
    found: dict[int, Drawing] = {}
    capitals: list[str] = []
    agreements: list[float] = []
    for index, character in enumerate(characters):
        drawing = font.drawing(character)
        if drawing is None or _same(drawing, absent):
            continue
        capital = character.upper()
        if len(capital) == 1 and capital != character:
            large = font.drawing(capital)
            if large is not None and _is_capital(drawing, large):
                capitals.append(character)
                continue
            if large is not None and character in _UNLIKE:
                agreements.append(_agreement(drawing, large))
        found[index] = drawing
    problems: list[tuple[str, str]] = []
    lacking = [character for index, character in enumerate(characters) if index not in found]
    lacking = [character for character in lacking if character not in capitals]
    if len(found) > 1 and all(_same(drawing, next(iter(found.values()))) for drawing in found.values()):
        return {}, [("all characters alike", "")]
    if capitals:
        problems.append(("capitals for lower case", _listed(capitals)))
    if not found and not capitals:
        return {}, [("has none of the characters", "")]
    if lacking:
        problems.append(("lacks characters", _listed(lacking)))
    if len(agreements) > 2 and np.median(agreements) > 0.75:
        problems.append(("small capitals for lower case", ""))
    return found, problems


def fitted(drawings: dict[int, Drawing]) -> tuple[tuple[int, ...], float, float, list[int]]:
    """Which characters are kept, at which scale, around which middle, and which are left out as too large.

    The largest scale at which all fit into the picture. Where a few swashes would make the others small (half of them
    below `_SMALLEST` of the picture), these few are left out, an eighth at most.
    """
    left_out: list[int] = []
    kept = dict(drawings)
    everything = _extent(kept)
    while kept and _typical(kept) / _extent(kept) * (1 - 2 * MARGIN) < _SMALLEST:
        if len(left_out) + 1 > len(drawings) * _MOST_LEFT_OUT:
            kept, left_out = dict(drawings), []
            break
        extremes = {
            max(kept, key=lambda index: kept[index].ink.width),
            min(kept, key=lambda index: kept[index].top),
            max(kept, key=lambda index: kept[index].bottom),
        }
        largest = min(sorted(extremes), key=lambda index: _extent({n: kept[n] for n in kept if n != index}))
        left_out.append(largest)
        del kept[largest]
    if not kept:
        return (), 0.0, 0.0, []
    extent = _extent(kept) if left_out else everything
    top, bottom = min(drawing.top for drawing in kept.values()), max(drawing.bottom for drawing in kept.values())
    return tuple(sorted(kept)), (1 - 2 * MARGIN) * _EM / extent, -(top + bottom) / 2 / _EM, sorted(left_out)


def _extent(drawings: dict[int, Drawing]) -> int:
    """The side of the square into which each of them fits, on one baseline."""
    if not drawings:
        return 1
    height = max(drawing.bottom for drawing in drawings.values()) - min(drawing.top for drawing in drawings.values())
    return max(height, max(drawing.ink.width for drawing in drawings.values()))


def _typical(drawings: dict[int, Drawing]) -> float:
    return float(np.median([max(drawing.ink.size) for drawing in drawings.values()]))


def _likeness(drawing: Drawing | None) -> np.ndarray:
    """uint8 [16,16] of 1.5 em, the baseline two thirds down, centered."""
    side = round(_REACH * _EM)
    frame = Image.new("L", (side, side))
    if drawing is not None:
        frame.paste(drawing.ink, ((side - drawing.ink.width) // 2, drawing.top + side * 2 // 3))
    return np.asarray(frame.resize((_GRID, _GRID), Image.Resampling.BOX))


def _same(one: Drawing, other: Drawing | None) -> bool:
    return (
        other is not None
        and (one.left, one.top, one.ink.size) == (other.left, other.top, other.ink.size)
        and one.ink.tobytes() == other.ink.tobytes()
    )


def _is_capital(small: Drawing, capital: Drawing) -> bool:
    """Whether a small letter is its capital, to a hair."""
    hair = _EM // 64
    edges = (small.top - capital.top, small.bottom - capital.bottom, small.ink.width - capital.ink.width)
    return max(map(abs, edges)) <= hair and _agreement(small, capital) > 0.98


def _agreement(one: Drawing, other: Drawing) -> float:
    """Correlation of two drawings brought to one size: about 0.5 for a and A, 0.8 and more for small capitals."""
    size = (12, 12)
    first, second = (
        np.asarray(drawing.ink.resize(size, Image.Resampling.BOX), float).ravel() for drawing in (one, other)
    )
    first, second = first - first.mean(), second - second.mean()
    both = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / both) if both else 1.0


def _listed(characters: Sequence[str]) -> str:
    rest = len(characters) - 8
    return " ".join(characters[:8]) + (f" and {rest} more" if rest > 0 else "")
