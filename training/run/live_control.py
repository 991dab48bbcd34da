"""Wishes to a running training: taken up at a step, noted, and taken up at the same step when that part is repeated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from runs.run_folder import CONTROL, RunFolder
from training.config import TrainingConfig

# name -> what it means, and whether a value makes sense
WISHES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "kimg": ("train for {} kimg", lambda value: _number(value) and value > 0),
    "tick": ("a tick is {} kimg", lambda value: _number(value) and value > 0),
    "snap": ("a snapshot every {} ticks", lambda value: type(value) is int and value >= 0),
    "target": ("the target of augmentation is {}", lambda value: _number(value) and 0 <= value <= 1),
    "p": ("augmentation happens with p {}", lambda value: _number(value) and 0 <= value <= 1),
}


class Control:
    """The present values of what can be wished for."""

    def __init__(self, folder: RunFolder, config: TrainingConfig) -> None:
        self.folder = folder
        self.kimg, self.tick, self.snap = config.kimg, config.tick, config.snap
        self.target, self.p = config.target, config.p
        self._again: list[dict[str, Any]] = []  # what was taken up before, in the part that is repeated now
        self._stamp: tuple[int, int] | None = None
        self._wishes: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in WISHES}

    def restore(self, values: dict[str, Any]) -> None:
        """Take up what `values` gave."""
        for name in WISHES:
            setattr(self, name, values[name])

    def begin(self) -> None:
        """Before the first step of a sitting: an old wish to stop has been granted."""
        if self.folder.wishes().get("stop"):
            self.folder.wish(stop=None)

    def replay(self, images: int) -> None:
        """Repeat, from here on, what was noted for `images` pictures and later."""
        noted = [change for change in self.folder.changes() if _number(change.get("images")) and _sane(change)]
        self._again = [change for change in noted if change["images"] >= images]

    def due(self, images: int) -> list[dict[str, Any]]:
        """What is to be applied now: what was noted for this step, or new wishes, which are noted."""
        found = [change for change in self._again if change["images"] <= images]
        self._again = [change for change in self._again if change["images"] > images]
        if self._again:
            return found
        values = {**self.values(), **{name: value for change in found for name, value in change.items()}}
        wished = self._read()
        new = {
            name: value
            for name, value in wished.items()
            if name in WISHES and _sane({name: value}) and value != values[name]
        }
        if new:
            self.note(images=images, **new)
            found.append({"images": images, **new})
        return found

    def note(self, **change: Any) -> None:
        """Keep what is taken up, so that a repetition does the same."""
        self.folder.changed(**change)

    def apply(self, change: dict[str, Any]) -> None:
        for name in WISHES:
            if name in change:
                setattr(self, name, change[name])

    def told(self, change: dict[str, Any]) -> str:
        """A change in words; empty where people need not know."""
        return ", ".join(words.format(change[name]) for name, (words, _) in WISHES.items() if name in change)

    def stop_wished(self) -> bool:
        return self._read().get("stop") is True

    def snapshot_wished(self) -> bool:
        """Whether a snapshot is wished for now; the wish is then granted."""
        if self._read().get("snapshot") is not True:
            return False
        self.folder.wish(snapshot=None)
        return True

    def _read(self) -> dict[str, Any]:
        """control.yaml, read again only when it has changed."""
        try:
            facts = (self.folder.path / CONTROL).stat()
        except OSError:
            return {}
        stamp = (facts.st_mtime_ns, facts.st_size)
        if stamp != self._stamp:
            self._stamp, self._wishes = stamp, self.folder.wishes()
        return self._wishes


def _sane(change: dict[str, Any]) -> bool:
    """Whether every wish in it has a value that makes sense."""
    return all(WISHES[name][1](value) for name, value in change.items() if name in WISHES)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
