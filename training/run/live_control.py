"""Live parameter changes: applied at a step, logged, and replayed at the same step after a resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from runs.run_folder import CONTROL, RunFolder
from training.config import TrainingConfig

# name -> (description for people, predicate of valid values)
TUNABLES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "kimg": ("train for {} kimg", lambda value: _is_number(value) and value > 0),
    "tick": ("a tick is {} kimg", lambda value: _is_number(value) and value > 0),
    "snap": ("a snapshot every {} ticks", lambda value: type(value) is int and value >= 0),
    "target": ("the target of augmentation is {}", lambda value: _is_number(value) and 0 <= value <= 1),
    "p": ("augmentation happens with p {}", lambda value: _is_number(value) and 0 <= value <= 1),
}


class LiveControl:
    """The present values of the parameters that can be changed while a training runs."""

    def __init__(self, folder: RunFolder, config: TrainingConfig) -> None:
        self.folder = folder
        self.kimg, self.tick, self.snap = config.kimg, config.tick, config.snap
        self.target, self.p = config.target, config.p
        self._to_replay: list[dict[str, Any]] = []  # logged changes of the part of the run that is repeated
        self._file_signature: tuple[int, int] | None = None
        self._requests: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the present values of TUNABLES."""
        return {name: getattr(self, name) for name in TUNABLES}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Restore the values of a `state_dict`."""
        for name in TUNABLES:
            setattr(self, name, values[name])

    def clear_stop_request(self) -> None:
        """Remove a request to stop that an earlier session has fulfilled."""
        if self.folder.requests().get("stop"):
            self.folder.request(stop=None)

    def replay_from(self, images: int) -> None:
        """Replay the changes that were logged at `images` images or later."""
        logged = [
            change for change in self.folder.change_log() if _is_number(change.get("images")) and _is_valid(change)
        ]
        self._to_replay = [change for change in logged if change["images"] >= images]

    def pending(self, images: int) -> list[dict[str, Any]]:
        """Return the changes to apply after `images` images: logged ones, else new requests, which are logged."""
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
        """Log a change, so that a replay repeats it."""
        self.folder.log_change(**change)

    def apply(self, change: dict[str, Any]) -> None:
        for name in TUNABLES:
            if name in change:
                setattr(self, name, change[name])

    def describe_change(self, change: dict[str, Any]) -> str:
        """Describe a change for people; empty if it concerns no parameter of TUNABLES."""
        return ", ".join(words.format(change[name]) for name, (words, _) in TUNABLES.items() if name in change)

    def stop_requested(self) -> bool:
        return self._read().get("stop") is True

    def take_snapshot_request(self) -> bool:
        """Whether a snapshot is requested; removes the request."""
        if self._read().get("snapshot") is not True:
            return False
        self.folder.request(snapshot=None)
        return True

    def _read(self) -> dict[str, Any]:
        """Return the requests in control.yaml, which is read again only when it has changed."""
        try:
            facts = (self.folder.path / CONTROL).stat()
        except OSError:
            return {}
        stamp = (facts.st_mtime_ns, facts.st_size)
        if stamp != self._file_signature:
            self._file_signature, self._requests = stamp, self.folder.requests()
        return self._requests


def _is_valid(change: dict[str, Any]) -> bool:
    """Whether all of a change's values are valid."""
    return all(TUNABLES[name][1](value) for name, value in change.items() if name in TUNABLES)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
