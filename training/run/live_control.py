"""Wishes to a running training: taken up at a step, noted, and taken up at the same step when that part is repeated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from runs.run_folder import CONTROL, RunFolder
from training.config import TrainingConfig

# name -> what it means, and whether a value makes sense
TUNABLES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "kimg": ("train for {} kimg", lambda value: _is_number(value) and value > 0),
    "tick": ("a tick is {} kimg", lambda value: _is_number(value) and value > 0),
    "snap": ("a snapshot every {} ticks", lambda value: type(value) is int and value >= 0),
    "target": ("the target of augmentation is {}", lambda value: _is_number(value) and 0 <= value <= 1),
    "p": ("augmentation happens with p {}", lambda value: _is_number(value) and 0 <= value <= 1),
}


class LiveControl:
    """The present values of what can be wished for."""

    def __init__(self, folder: RunFolder, config: TrainingConfig) -> None:
        self.folder = folder
        self.kimg, self.tick, self.snap = config.kimg, config.tick, config.snap
        self.target, self.p = config.target, config.p
        self._to_replay: list[dict[str, Any]] = []  # what was taken up before, in the part that is repeated now
        self._file_signature: tuple[int, int] | None = None
        self._requests: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in TUNABLES}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Take up what `values` gave."""
        for name in TUNABLES:
            setattr(self, name, values[name])

    def clear_stop_request(self) -> None:
        """Before the first step of a sitting: an old wish to stop has been granted."""
        if self.folder.requests().get("stop"):
            self.folder.request(stop=None)

    def replay_from(self, images: int) -> None:
        """Repeat, from here on, what was noted for `images` pictures and later."""
        logged = [
            change for change in self.folder.change_log() if _is_number(change.get("images")) and _is_valid(change)
        ]
        self._to_replay = [change for change in logged if change["images"] >= images]

    def pending(self, images: int) -> list[dict[str, Any]]:
        """What is to be applied now: what was noted for this step, or new wishes, which are noted."""
        changes = [change for change in self._to_replay if change["images"] <= images]
        self._to_replay = [change for change in self._to_replay if change["images"] > images]
        if self._to_replay:
            return changes
        values = {**self.state_dict(), **{name: value for change in changes for name, value in change.items()}}
        requests = self._read()
        new = {
            name: value
            for name, value in requests.items()
            if name in TUNABLES and _is_valid({name: value}) and value != values[name]
        }
        if new:
            self.log_change(images=images, **new)
            changes.append({"images": images, **new})
        return changes

    def log_change(self, **change: Any) -> None:
        """Keep what is taken up, so that a repetition does the same."""
        self.folder.log_change(**change)

    def apply(self, change: dict[str, Any]) -> None:
        for name in TUNABLES:
            if name in change:
                setattr(self, name, change[name])

    def describe_change(self, change: dict[str, Any]) -> str:
        """A change in words; empty where people need not know."""
        return ", ".join(words.format(change[name]) for name, (words, _) in TUNABLES.items() if name in change)

    def stop_requested(self) -> bool:
        return self._read().get("stop") is True

    def take_snapshot_request(self) -> bool:
        """Whether a snapshot is wished for now; the wish is then granted."""
        if self._read().get("snapshot") is not True:
            return False
        self.folder.request(snapshot=None)
        return True

    def _read(self) -> dict[str, Any]:
        """control.yaml, read again only when it has changed."""
        try:
            facts = (self.folder.path / CONTROL).stat()
        except OSError:
            return {}
        stamp = (facts.st_mtime_ns, facts.st_size)
        if stamp != self._file_signature:
            self._file_signature, self._requests = stamp, self.folder.requests()
        return self._requests


def _is_valid(change: dict[str, Any]) -> bool:
    """Whether every wish in it has a value that makes sense."""
    return all(TUNABLES[name][1](value) for name, value in change.items() if name in TUNABLES)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
