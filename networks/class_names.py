"""Names of a network's classes: which ones a file may hold, and which number is meant by one."""

from __future__ import annotations

import json
from collections.abc import Sequence

from networks.errors import FormatError, sanitize

MAX_LENGTH = 64  # characters of a name
_MAX_JSON_BYTES = 1 << 18  # bytes of all names together in a file's header, which has room for four times as much


def normalize(count: int, names: Sequence[str]) -> tuple[str, ...]:
    """Names from outside, as a file takes them: whole, printable, one for each of `count` classes.

    Those behind `count` are left out; where they are too few, or longer together than a file's header, there are none.
    """
    kept = tuple(sanitize(name.strip(), MAX_LENGTH) or str(index) for index, name in enumerate(names[:count]))
    return kept if len(kept) == count and len(to_json(kept)) <= _MAX_JSON_BYTES else ()


def to_json(names: Sequence[str]) -> str:
    """The text of a file that holds these names."""
    return json.dumps(list(names))


def from_json(text: object, count: int) -> tuple[str, ...]:
    """The names that a file holds as this text, for a network of `count` classes. Raises FormatError."""
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
    """Raises FormatError where these cannot be the names of `count` classes."""
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
    """The class that a word means: a number, or a name in any case. Raises ValueError, one sentence."""
    word = word.strip()
    if word.isdecimal():
        return int(word)
    if not names:
        raise ValueError(
            f"There is no class {sanitize(word)!r}: this network has no names for classes, so say a number."
        )
    found = [index for index, name in enumerate(names) if name == word]
    found = found or [index for index, name in enumerate(names) if name.casefold() == word.casefold()]
    if len(found) > 1:
        numbers = " and ".join(map(str, found[:5]))
        raise ValueError(f"Classes {numbers} are all named {sanitize(word)!r}: say which one by its number.")
    if not found:
        raise ValueError(f"There is no class {sanitize(word)!r}: this network has {summarize(names)}.")
    return found[0]


def summarize(names: Sequence[str], most: int = 24) -> str:
    """The names in one line, and how many others there are."""
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} others" if len(names) > most else "")
