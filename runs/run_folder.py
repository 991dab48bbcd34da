"""The folder of one run: configuration, wishes, changes, status, statistics and log; kills and full disks spare it."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from session.atomic_write import atomic_write
from session.bounded_read import MAX_YAML_BYTES, NotPlainFileError, load_yaml, read_bounded

RUN, CONTROL, CHANGES, STATUS, STATS, LOG, LOCK = (
    "run.yaml", "control.yaml", "changes.jsonl", "status.json", "stats.jsonl", "log.txt", ".lock"
)  # fmt: skip

PARSE_ERRORS = (yaml.YAMLError, ValueError, RecursionError)  # what reading a spoilt file of YAML or JSON may raise


class RunError(ValueError):
    """Something is wrong with a run's folder; one sentence."""


class RunFolder:
    """One run's folder. A single process, which holds `locked()`, writes it; any number may read it.

    run.yaml        kind, configuration, command, versions: written once
    control.yaml    wishes: anyone writes them, the run reads them at each step
    changes.jsonl   which wishes were taken up, and when
    status.json     pid, state, heartbeat, done, total: replaced in one move
    stats.jsonl     one line a tick          log.txt   what was said
    snapshots/      networks                 state/    from what the run continues
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, outdir: str | Path, name: str) -> RunFolder:
        """Make `outdir`/NNNNN-`name`, one higher than the highest number there. Raises RunError."""
        out = Path(outdir)
        try:
            out.mkdir(parents=True, exist_ok=True)
            while True:
                numbers = [int(match[0]) for entry in out.iterdir() if (match := re.match(r"\d+", entry.name))]
                path = out / f"{max(numbers, default=-1) + 1:05d}-{name}"
                try:
                    path.mkdir()
                except FileExistsError:
                    continue  # another run was quicker
                return cls(path)
        except OSError as error:
            raise RunError(f"{out} cannot hold runs ({error.strerror}); choose another --outdir.") from None

    @classmethod
    def open(cls, path: str | Path, kind: str | None = None) -> RunFolder:
        """An existing run, of this kind if one is named. Raises RunError."""
        folder = cls(path)
        described = folder.read_description()
        if kind is not None and described.get("kind") != kind:
            raise RunError(f"{path} is a run of kind {described.get('kind')!r}, not {kind!r}.")
        return folder

    def write_description(
        self, kind: str, config: Mapping[str, Any], command: list[str], versions: Mapping[str, str]
    ) -> None:
        """Write run.yaml, once."""
        facts = {
            "kind": kind,
            "command": command,
            "config": dict(config),
            "versions": dict(versions),
            "host": socket.gethostname(),
            "created": time.strftime("%Y-%m-%dT%H:%M:%S"),
        }
        replace_text(self.path / RUN, yaml.safe_dump(facts, sort_keys=False, allow_unicode=True))

    def read_description(self) -> dict[str, Any]:
        """What run.yaml says. Raises RunError where this is no run."""
        try:
            facts = _read_yaml(self.path / RUN)
        except NotPlainFileError as error:
            raise RunError(f"{self.path / RUN} cannot be read: {error.strerror}.") from None
        except OSError:
            raise RunError(f"{self.path} is not a run: there is no {RUN} in it.") from None
        except PARSE_ERRORS:
            facts = None
        if not isinstance(facts, dict):
            raise RunError(f"{self.path / RUN} is damaged, so the run cannot be continued.")
        return facts

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that works on this run. Raises RunError where another one does, or it is read-only."""
        try:
            opened = (self.path / LOCK).open("a+b")
        except OSError as error:
            raise RunError(f"{self.path} cannot be written ({error.strerror}); make it writable first.") from None
        with opened as file:
            if not _lock(file):
                raise RunError(f"{self.path} is being worked on by another process; stop that one first.")
            yield  # the lock goes with the file, or with this process however it ends

    def requests(self) -> dict[str, Any]:
        """What control.yaml asks for; empty where it is missing, damaged or half written."""
        try:
            data = _read_yaml(self.path / CONTROL)
        except (OSError, *PARSE_ERRORS):
            return {}
        return {str(key): value for key, value in data.items()} if isinstance(data, dict) else {}

    def request(self, **requests: Any) -> None:
        """Ask the run for something: `wish(stop=True)`. A None takes a wish back."""
        merged = {key: value for key, value in {**self.requests(), **requests}.items() if value is not None}
        replace_text(self.path / CONTROL, yaml.safe_dump(merged))

    def log_change(self, **facts: Any) -> None:
        """Note what was taken up; on the disk when this returns."""
        append_line(self.path / CHANGES, facts, sync=True)

    def change_log(self) -> list[dict[str, Any]]:
        """All that was taken up, oldest first."""
        return list(read_lines(self.path / CHANGES))

    def write_status(self, **facts: Any) -> None:
        """Replace status.json; the time and this process are added. A full disk is no reason to stop."""
        facts = {"pid": os.getpid(), "heartbeat": time.time(), **facts}
        try:
            replace_text(self.path / STATUS, json.dumps(facts), sync=False)
        except OSError:
            return

    def log(self, line: str) -> None:
        """Add a line to log.txt; a full disk is no reason to stop."""
        try:
            with (self.path / LOG).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError:
            return

    def log_stats(self, **values: Any) -> None:
        """Add a line to stats.jsonl."""
        append_line(self.path / STATS, values)

    def truncate_after(self, key: str, limit: float) -> None:
        """Drop the lines of stats.jsonl whose `key` (a number or {mean}) is above `limit`: they come again."""
        path = self.path / STATS
        if not path.exists():
            return
        kept = [line for line in read_lines(path) if _mean(line.get(key)) <= limit]
        replace_text(path, "".join(json.dumps(line) + "\n" for line in kept))


def replace_text(path: Path, text: str, sync: bool = True) -> None:
    """Replace a text file atomically, so that no reader sees half of it. Raises OSError."""
    with atomic_write(path, sync=sync) as part:
        part.write_text(text, encoding="utf-8")


def append_line(path: Path, values: Mapping[str, Any], sync: bool = False) -> None:
    """Add one line of JSON; a line that a kill left half written is ended first. Raises OSError."""
    with path.open("a+b") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(values).encode() + b"\n")
        if sync:
            file.flush()
            os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file of JSON lines; what is half written or damaged is passed over."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except PARSE_ERRORS:
            continue
        if isinstance(value, dict):
            yield value


def _read_yaml(path: Path) -> Any:
    return load_yaml(read_bounded(path, MAX_YAML_BYTES).decode("utf-8"), aliases=True)


def _mean(value: Any) -> float:
    number = value.get("mean") if isinstance(value, dict) else value
    return float(number) if isinstance(number, (int, float)) else 0.0


def _lock(file: IO[bytes]) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
