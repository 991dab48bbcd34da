"""Which styles of all that were seen are drawn: each once, and of one family only so many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from data.letters.looking import Seen, Style
from data.report import is_remark

_ALIKE = 12  # levels of 255 by which no spot of two drawings of one style differs

Told = tuple[str, tuple[tuple[str, str], ...], bool]  # name, problems (kind, detail), whether it is drawn all the same


def chosen(seen: Iterable[Seen], max_styles: int, strict: bool) -> tuple[list[Told], list[Style]]:
    """What was odd, and the styles to draw, in the order of their names."""
    told: list[Told] = []
    named: list[tuple[str, Style]] = []
    doubles = Doubles()
    for one in seen:
        problems, style = one.problems, one.style
        first = None if style is None else doubles.first(style, one.name)
        if first is not None:
            problems, style = (("duplicate", f"as {first}"),), None
        if strict and not all(is_remark(kind) for kind, _ in problems):
            style = None
        if problems:
            told.append((one.name, problems, style is not None))
        if style is not None:
            named.append((one.name, style))
    named.sort(key=lambda pair: (_family(pair[1]), pair[1].style.casefold(), pair[0]))
    kept: list[Style] = []
    for _, family in groupby(named, key=lambda pair: _family(pair[1])):
        members = list(family)
        most_varied = set(varied([style for _, style in members], max_styles))
        kept += [style for index, (_, style) in enumerate(members) if index in most_varied]
        rest = [(name, style) for index, (name, style) in enumerate(members) if index not in most_varied]
        told += [(name, (("more styles than --max-styles", style.family),), False) for name, style in rest]
    return told, _told_apart(kept)


def _told_apart(styles: Iterable[Style]) -> list[Style]:
    """Styles of one name that look otherwise, as optical sizes do, get numbers: Regular, Regular 2."""
    times: Counter[tuple[str, str]] = Counter()
    apart: list[Style] = []
    for style in styles:
        times[style.family, style.style] += 1
        number = times[style.family, style.style]
        apart.append(style if number == 1 else replace(style, style=f"{style.style} {number}"))
    return apart


def varied(styles: Sequence[Style], count: int) -> list[int]:
    """The regular style, then each time the one that differs most from those taken; all where they are few enough."""
    if len(styles) <= count:
        return list(range(len(styles)))
    looks = np.stack([style.likeness.ravel() for style in styles]).astype(np.float32)
    names = [style.style.casefold() for style in styles]
    taken = [next((names.index(name) for name in ("regular", "normal", "roman", "book") if name in names), 0)]
    nearest = np.abs(looks - looks[taken[0]]).mean(1)
    while len(taken) < count:
        taken.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.abs(looks - looks[taken[-1]]).mean(1))
    return taken


class Doubles:
    """Finds a style that was seen before, under whatever name."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._looks: list[np.ndarray] = []
        self._means = np.zeros((0, 0), np.float32)

    def first(self, style: Style, name: str) -> str | None:
        """The name under which it was seen first; None where it is new."""
        means = style.likeness.mean((1, 2), dtype=np.float32)
        if len(self._names):
            near = np.flatnonzero((np.abs(self._means[: len(self._names)] - means) < _ALIKE).all(1))
            for index in near:
                if np.abs(self._looks[index].astype(int) - style.likeness).max() < _ALIKE:
                    return self._names[index]
        if len(self._names) >= len(self._means):
            more = np.zeros((max(64, len(self._means)), len(means)), np.float32)
            self._means = more if not len(self._means) else np.concatenate([self._means, more])
        self._means[len(self._names)] = means
        self._names.append(name)
        self._looks.append(style.likeness)
        return None


def _family(style: Style) -> str:
    return style.family.casefold()
