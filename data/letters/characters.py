"""Which characters to draw, as people write them: `A-Z`, `A-Za-z0-9`, `0-9+-`."""

from __future__ import annotations

import unicodedata

from data.errors import DatasetError

_MOST = 20_000


def characters_of(text: str) -> tuple[str, ...]:
    """Single characters and ranges, each once, in the order given; a `-` at either end is itself.

    Raises DatasetError for a range that runs backwards, for spaces and for what no font draws by itself.
    """
    found: dict[str, None] = {}
    place = 0
    while place < len(text):
        first, last = text[place], text[place]
        if text[place + 1 : place + 2] == "-" and place + 2 < len(text):
            last = text[place + 2]
            place += 2
        place += 1
        if ord(last) < ord(first):
            raise DatasetError(
                f"--characters has the range {first}-{last}, which runs backwards: write {last}-{first}."
            )
        if ord(last) - ord(first) + len(found) >= _MOST:
            raise DatasetError(f"--characters asks for more than {_MOST:,} characters: choose fewer.")
        if first == last and not _drawable(first):
            raise DatasetError(
                f"--characters has {unicodedata.name(first, ascii(first))}, which is nothing to draw by itself: "
                "leave it out."
            )
        found |= dict.fromkeys(filter(_drawable, map(chr, range(ord(first), ord(last) + 1))))
    if not found:
        raise DatasetError("--characters is empty: give some, as in A-Z.")
    return tuple(found)


def _drawable(character: str) -> bool:
    """Whether it is a letter, digit, mark of punctuation or symbol: neither space nor control code, nor an accent."""
    return unicodedata.category(character)[0] in "LNPS"
