"""Names of a network's classes: which ones a file may contain, how they are stored, and the index that a name means."""

from __future__ import annotations

import json
from collections.abc import Sequence

from networks.errors import FormatError, sanitize

MAX_LENGTH = 64  # characters of a name
_MAX_JSON_BYTES = 1 << 18  # of all names together; a file's header may have four times as much


def normalize(count: int, names: Sequence[str]) -> tuple[str, ...]:
    """Make arbitrary names storable: stripped, printable, at most 64 characters, one for each of `count` classes.

    Names beyond `count` are dropped. Returns an empty tuple where there are too few, or all together are too long.
    """
    cleaned = tuple(sanitize(name.strip(), MAX_LENGTH) or str(index) for index, name in enumerate(names[:count]))
    return cleaned if len(cleaned) == count and len(to_json(cleaned)) <= _MAX_JSON_BYTES else ()


def to_json(names: Sequence[str]) -> str:
    """Return the names as a file stores them: a JSON list."""
    return json.dumps(list(names))


def from_json(text: object, count: int) -> tuple[str, ...]:
    """Parse the names that a file stores as `text`, for a network of `count` classes. Raises FormatError."""
    if type(text) is not str or len(text) > _MAX_JSON_BYTES:
        raise FormatError("the names of its classes make no sense")
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError("the names of its classes are damaged") from None
    if type(names) is not list or not all(type(name) is str for name in names):
        raise FormatError("the names of its classes are damaged")
    check(names, count)
    return tuple(names)


def check(names: Sequence[str], count: int) -> None:
    """Raise FormatError unless these can be the names of `count` classes."""
    if len(names) != count:
        raise FormatError(f"it names {len(names)} classes, but its network has {count}")
    for name in names:
        if not name.strip() or len(name) > MAX_LENGTH or not name.isprintable():
            raise FormatError(
                f"the name {sanitize(name, 40)!r} of a class is not 1 to {MAX_LENGTH} printable characters"
            )
    if len(to_json(names)) > _MAX_JSON_BYTES:
        raise FormatError("the names of its classes are longer than all else that it says")


def class_index(word: str, names: Sequence[str]) -> int:
    """Return the index of the class that `word` means: a number, or a name in any case. Raises ValueError."""
    word = word.strip()
    if word.isdecimal():
        return int(word)
    if not names:
        raise ValueError(
            f"There is no class {sanitize(word)!r}: this network has no names for classes, so say a number."
        )
    matches = [index for index, name in enumerate(names) if name == word]
    matches = matches or [index for index, name in enumerate(names) if name.casefold() == word.casefold()]
    if len(matches) > 1:
        numbers = " and ".join(map(str, matches[:5]))
        raise ValueError(f"Classes {numbers} are all named {sanitize(word)!r}: say which one by its number.")
    if not matches:
        raise ValueError(f"There is no class {sanitize(word)!r}: this network has {summarize(names)}.")
    return matches[0]


def summarize(names: Sequence[str], most: int = 24) -> str:
    """Return the first `most` names in one line, and the number of others."""
    listed = ", ".join(names[:most])
    return listed + (f" and {len(names) - most} others" if len(names) > most else "")
