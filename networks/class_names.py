"""Names of a network's classes: which ones a file may hold, and which number is meant by one."""

from __future__ import annotations

import json
from collections.abc import Sequence

from networks.errors import Flaw, plain

LONGEST = 64  # characters of a name
_MOST = 1 << 18  # bytes of all names together in a file's header, which has room for four times as much


def named(count: int, names: Sequence[str]) -> tuple[str, ...]:
    """Names from outside, as a file takes them: whole, printable, one for each of `count` classes.

    Those behind `count` are left out; where they are too few, or longer together than a file's header, there are none.
    """
    kept = tuple(plain(name.strip(), LONGEST) or str(index) for index, name in enumerate(names[:count]))
    return kept if len(kept) == count and len(stored(kept)) <= _MOST else ()


def stored(names: Sequence[str]) -> str:
    """The text of a file that holds these names."""
    return json.dumps(list(names))


def read(text: object, count: int) -> tuple[str, ...]:
    """The names that a file holds as this text, for a network of `count` classes. Raises Flaw."""
    if type(text) is not str or len(text) > _MOST:
        raise Flaw("the names of its classes make no sense")
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        raise Flaw("the names of its classes are damaged") from None
    if type(names) is not list or not all(type(name) is str for name in names):
        raise Flaw("the names of its classes are damaged")
    checked(names, count)
    return tuple(names)


def checked(names: Sequence[str], count: int) -> None:
    """Raises Flaw where these cannot be the names of `count` classes."""
    if len(names) != count:
        raise Flaw(f"it names {len(names)} classes, but its network has {count}")
    for name in names:
        if not name.strip() or len(name) > LONGEST or not name.isprintable():
            raise Flaw(f"the name {plain(name, 40)!r} of a class is not 1 to {LONGEST} printable characters")
    if len(stored(names)) > _MOST:
        raise Flaw("the names of its classes are longer than all else that it says")


def number_of(word: str, names: Sequence[str]) -> int:
    """The class that a word means: a number, or a name in any case. Raises ValueError, one sentence."""
    word = word.strip()
    if word.isdecimal():
        return int(word)
    if not names:
        raise ValueError(f"There is no class {plain(word)!r}: this network has no names for classes, so say a number.")
    found = [index for index, name in enumerate(names) if name == word]
    found = found or [index for index, name in enumerate(names) if name.casefold() == word.casefold()]
    if len(found) > 1:
        numbers = " and ".join(map(str, found[:5]))
        raise ValueError(f"Classes {numbers} are all named {plain(word)!r}: say which one by its number.")
    if not found:
        raise ValueError(f"There is no class {plain(word)!r}: this network has {listed(names)}.")
    return found[0]


def listed(names: Sequence[str], most: int = 24) -> str:
    """The names in one line, and how many others there are."""
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} others" if len(names) > most else "")
