"""Find the image that each name in `dataset.json` means, also where the name is written a little differently."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from data.errors import DatasetError

Value = TypeVar("Value")
Key = Callable[[str], str]
_BACKSLASHES = "label with backslashes"
_SAME_NAME = ("", _BACKSLASHES)  # differences in how a name is written, not in what it says
_MOVED = "label from a folder of another name"


@dataclass
class Match(Generic[Value]):
    """values: of the images that have one, by name. renamed: (kind, image, name in dataset.json) of those found under
    another name. unused: names that mean no image, or not one image only.
    """

    values: dict[str, Value]
    renamed: list[tuple[str, str, str]] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def match_names(images: Sequence[str], values: Mapping[str, Value], path: Path, folder: str = "") -> Match[Value]:
    """Give each of `images` the value of the name that means it; `folder` ("photos/") is that of the dataset.json.

    A name that differs counts if it can mean one image only, and no other value claims that image.
    Raises DatasetError if two spellings of one name give an image of `path` different values.
    """
    own_names = {image.removeprefix(folder): image for image in images}
    match = Match({own_names[name]: value for name, value in values.items() if name in own_names})
    left = {name: value for name, value in values.items() if name not in own_names}
    for kind, find in _stages(own_names, values) if left else ():
        if not left or (len(match.values) == len(own_names) and kind not in _SAME_NAME):
            break
        claims: dict[str, list[str]] = {}
        for name in list(left):
            own = find(name)
            if own is None:
                continue
            if own_names[own] not in match.values:
                claims.setdefault(own, []).append(name)
            elif kind in _SAME_NAME:
                check_same_value(own, match.values[own_names[own]], left.pop(name), path)
        if kind == _MOVED and (match.values or len(claims) < len(own_names)):
            break
        for own, names in claims.items():
            if kind in _SAME_NAME:
                check_same_value(own, left[names[0]], left[names[-1]], path)
            if all(left[name] == left[names[0]] for name in names):
                match.values[own_names[own]] = left[names[0]]
                if kind:
                    match.renamed.append((kind, own_names[own], names[0]))
                for name in names:
                    del left[name]
    match.unused = list(left)
    return match


def check_same_value(name: str, one: object, other: object, path: Path) -> None:
    """Raise DatasetError if a name that stands in `dataset.json` twice has two values."""
    if one != other:
        cure = "" if "/" in name else ", or write the folders of both pictures before their names"
        raise DatasetError(
            f"dataset.json of {path} lists {name} twice, with the labels {str(one)[:40]} and {str(other)[:40]}: "
            f"remove the wrong one{cure}."
        )


def refuse_unmatched(images: Sequence[str], match: Match[Value], path: Path) -> None:
    """Raise DatasetError, with an example, if images have no label while names in dataset.json mean no image."""
    without = [image for image in images if image not in match.values]
    if not without or not match.unused:
        return
    count = len(match.unused)
    some = f"{count} of the names" if match.values or match.renamed else f"none of the {count} names"
    verb = "fit no picture" if match.values or match.renamed else "fits a picture"
    raise DatasetError(
        f"Labels would be lost: {some} in dataset.json of {path} {verb} without doubt, for example "
        f"{match.unused[0][:100]}, and {len(without)} pictures have none, for example {without[0]}: "
        "write the names as the pictures are called, or take the dataset.json away."
    )


def _stages(images: Iterable[str], names: Iterable[str]) -> Iterable[tuple[str, Callable[[str], str | None]]]:
    """Yield ways to find an image by a name, from the safest on, each with what to call the difference."""
    yield "", _by_key(images, posixpath.normpath)
    yield _BACKSLASHES, _by_key(images, _slashes)
    yield "label in other letters", _by_key(images, _letters)
    yield "label with another ending", _by_key(images, _without_ending)
    yield "label with other folders", _by_tail(images, _letters)
    yield "label with other folders", _by_tail(images, _without_ending)
    yield _MOVED, _by_rest(images, names)


def _slashes(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/")).lstrip("/")


def _letters(name: str) -> str:
    """Ignore capitals, and how accents are encoded, which macOS does in its own way."""
    path = _slashes(name)
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _without_ending(name: str) -> str:
    return posixpath.splitext(_letters(name))[0]


def _by_key(images: Iterable[str], key: Key) -> Callable[[str], str | None]:
    found = _unique((key(image), image) for image in images)
    return lambda name: found.get(key(name))


def _by_tail(images: Iterable[str], key: Key) -> Callable[[str], str | None]:
    """Find an image whose path ends with the name (it has no folders), or with which the name ends (a whole path)."""
    whole = _unique((key(image), image) for image in images)
    tails = _unique((tail, image) for image in images for tail in (key(image), *_tails(key(image))))

    def find(name: str) -> str | None:
        if (shorter := tails.get(key(name))) is not None:
            return shorter
        return next((whole[tail] for tail in _tails(key(name)) if tail in whole and whole[tail]), None)

    return find


def _by_rest(images: Iterable[str], names: Iterable[str]) -> Callable[[str], str | None]:
    """Find an image by what follows the leading folders that all images, or all names, have in common."""
    above_images, above_names = _common_folder(images), _common_folder(names)
    found = _unique((_without_ending(image)[above_images:], image) for image in images)
    return lambda name: found.get(_without_ending(name)[above_names:])


def _common_folder(names: Iterable[str]) -> int:
    """Return the length of the leading folders that all names have in common, with the last slash."""
    prefix = posixpath.commonprefix([_without_ending(name) for name in names])
    return prefix.rfind("/") + 1


def _tails(path: str) -> Iterable[str]:
    """Yield a path without its first folder, without its first two, ..., longest first."""
    start = path.find("/")
    while start >= 0:
        yield path[start + 1 :]
        start = path.find("/", start + 1)


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """Index images by key; None for a key that several have."""
    found: dict[str, str | None] = {}
    for key, image in pairs:
        found[key] = image if found.get(key, image) == image else None
    return found
