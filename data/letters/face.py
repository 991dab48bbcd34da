"""One typeface style: opened from a file, its characters drawn at any size."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from PIL import Image, ImageDraw, ImageFont

from data.letters.font_file import FontError

_FARTHEST = 8  # em: nothing that a letter draws reaches farther
_WEIGHTS = "thin|hairline|light|semilight|book|regular|normal|medium|demi|bold|semibold|demibold|black|heavy"
_STYLE_WORD = re.compile(rf"((extra|ultra|semi|demi)[ -]?)?({_WEIGHTS})|italic|oblique|roman", re.IGNORECASE)
_MOST_LETTERS_IN_A_NAME = 80


@dataclass(frozen=True)
class Place:
    """Where a style lies: file below the folder, number in a collection, number of a variable font's style (or 0)."""

    file: str
    number: int = 0
    instance: int = 0


@dataclass(frozen=True)
class Drawing:
    """A character at some size: its ink as mode "L", and where it lies, in pixels right of and below the origin."""

    ink: Image.Image
    left: int
    top: int

    @property
    def right(self) -> int:
        return self.left + self.ink.width

    @property
    def bottom(self) -> int:
        return self.top + self.ink.height


class Font:
    """One style of a font file at one size, `size` in pixels of its em. Raises FontError where it cannot be opened."""

    def __init__(self, data: bytes, place: Place, size: float) -> None:
        self.size = size
        try:
            # FreeType takes the number of a style in the upper half. Pillow's own get_variation_names is not asked:
            # it ends the process where a style has no name (13.0).
            index = place.number | place.instance << 16
            self._font = ImageFont.truetype(io.BytesIO(data), size, index, layout_engine=ImageFont.Layout.BASIC)
        except (OSError, ValueError, MemoryError) as error:
            raise FontError(str(error) or "damaged") from None

    def names(self) -> tuple[str, str]:
        """Family and style as the file gives them, either may be empty."""
        return self._name("family"), self._name("style")

    def _name(self, which: str) -> str:
        try:
            return _text(getattr(self._font.font, which) or "")
        except UnicodeError:  # damaged, or in an encoding of its own
            return ""

    def drawing(self, character: str) -> Drawing | None:
        """The character with its left end of the baseline at the origin; None without ink. Raises FontError."""
        try:
            left, top, right, bottom = self._font.getbbox(character, anchor="ls")
            if max(-left, -top, right, bottom) > _FARTHEST * self.size:
                raise FontError(f"{character} is larger than {_FARTHEST} em")
            x, y = 1 - round(left), 1 - round(top)
            canvas = Image.new("L", (x + round(right) + 1, y + round(bottom) + 1))
            ImageDraw.Draw(canvas).text((x, y), character, 255, font=self._font, anchor="ls")
        except (OSError, ValueError, MemoryError) as error:
            raise error if isinstance(error, FontError) else FontError(str(error) or "damaged") from None
        box = canvas.getbbox()
        return Drawing(canvas.crop(box), box[0] - x, box[1] - y) if box else None


def family_and_style(family: str, style: str, file: str) -> tuple[str, str]:
    """The names to group by: weights and slopes go from the family's name to the style's.

    ("Cabin SemiBold", "Italic") -> ("Cabin", "SemiBold Italic"). Without a family, the file's name serves.
    """
    words = (family or _text(PurePosixPath(file).stem) or "Unnamed").split()
    moved: list[str] = []
    while len(words) > 1 and _STYLE_WORD.fullmatch(words[-1]):
        moved.insert(0, words.pop())
        if len(words) > 1 and words[-1].lower() in ("extra", "ultra", "semi", "demi"):
            moved.insert(0, words.pop())
    rest = [word for word in style.split() if word.lower() not in {part.lower() for part in moved}]
    if moved:
        rest = [word for word in rest if word.lower() not in ("regular", "normal")]
    return " ".join(words), " ".join(moved + rest) or "Regular"


def _text(name: str) -> str:
    """A name as one line that can be read and written, of bearable length."""
    text = "".join(letter if letter.isprintable() else " " for letter in name)
    return " ".join(text.split())[:_MOST_LETTERS_IN_A_NAME]
