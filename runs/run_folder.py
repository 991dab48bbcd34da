"""The folder of one run: configuration, requests, changes, status, statistics and log; safe against kills."""

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

PARSE_ERRORS = (yaml.YAMLError, ValueError, RecursionError)  # raised by damaged YAML or JSON


class RunError(ValueError):
    """A run's folder cannot be used; one sentence."""


class RunFolder:
    """One run's folder. Only the process that holds `lock()` writes to it; any number may read it.

    run.yaml        kind, configuration, command, versions; written once, but for where the dataset lies
    control.yaml    requests: written by anyone, read by the run at each step
    changes.jsonl   which requests were applied, and when
    status.json     pid, state, heartbeat, done, total; replaced atomically
    stats.jsonl     one line per tick
    log.txt         messages
    snapshots/      networks
    state/          training states to resume from
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, outdir: str | Path, name: str) -> RunFolder:
        """Create `outdir`/NNNNN-`name`, numbered one above the highest there. Raises RunError."""
        out = Path(outdir)
        try:
            out.mkdir(parents=True, exist_ok=True)
            while True:
                numbers = [int(match[0]) for entry in out.iterdir() if (match := re.match(r"\d+", entry.name))]
                path = out / f"{max(numbers, default=-1) + 1:05d}-{name}"
                try:
                    path.mkdir()
                except FileExistsError:
                    continue  # another process took the number
                return cls(path)
        except OSError as error:
            raise RunError(f"{out} cannot hold runs ({error.strerror}); choose another --outdir.") from None

    @classmethod
    def open(cls, path: str | Path, kind: str | None = None) -> RunFolder:
        """Open an existing run, of the given kind if any. Raises RunError."""
        folder = cls(path)
        description = folder.read_description()
        if kind is not None and description.get("kind") != kind:
            raise RunError(f"{path} is a run of kind {description.get('kind')!r}, not {kind!r}.")
        return folder

    def write_description(
        self, kind: str, config: Mapping[str, Any], command: list[str], versions: Mapping[str, str]
    ) -> None:
        """Write run.yaml, once."""
        description = {
            "kind": kind,
            "command": command,
            "config": dict(config),
            "versions": dict(versions),
            "host": socket.gethostname(),
            "created": time.strftime("%Y-%m-%dT%H:%M:%S"),
        }
        replace_text(self.path / RUN, yaml.safe_dump(description, sort_keys=False, allow_unicode=True))

    def read_description(self) -> dict[str, Any]:
        """Return the content of run.yaml. Raises RunError if this is not a run."""
        try:
            description = _read_yaml(self.path / RUN)
        except NotPlainFileError as error:
            raise RunError(f"{self.path / RUN} cannot be read: {error.strerror}.") from None
        except OSError:
            raise RunError(f"{self.path} is not a run: there is no {RUN} in it.") from None
        except PARSE_ERRORS:
            description = None
        if not isinstance(description, dict):
            raise RunError(f"{self.path / RUN} is damaged, so the run cannot be continued.")
        return description

    def move_data(self, data: str) -> bool:
        """Note in run.yaml where the dataset lies now; whether that is elsewhere. Raises RunError, OSError."""
        facts = self.read_description()
        if facts["config"].get("data") == data:
            return False
        facts["config"]["data"] = data
        replace_text(self.path / RUN, yaml.safe_dump(facts, sort_keys=False, allow_unicode=True))
        return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run's lock inside the `with` block. Raises RunError if another process does, or it is read-only."""
        try:
            opened = (self.path / LOCK).open("a+b")
        except OSError as error:
            raise RunError(f"{self.path} cannot be written ({error.strerror}); make it writable first.") from None
        with opened as file:
            if not _lock(file):
                raise RunError(f"{self.path} is being worked on by another process; stop that one first.")
            yield  # closing the file, or the end of this process, releases the lock

    def requests(self) -> dict[str, Any]:
        """Return the requests in control.yaml; empty if it is missing or damaged."""
        try:
            data = _read_yaml(self.path / CONTROL)
        except (OSError, *PARSE_ERRORS):
            return {}
        return {str(key): value for key, value in data.items()} if isinstance(data, dict) else {}

    def request(self, **requests: Any) -> None:
        """Add requests to control.yaml: `request(stop=True)`; None withdraws one. Raises OSError."""
        merged = {key: value for key, value in {**self.requests(), **requests}.items() if value is not None}
        replace_text(self.path / CONTROL, yaml.safe_dump(merged))

    def log_change(self, **change: Any) -> None:
        """Append a change to changes.jsonl, synced to the disk. Raises OSError."""
        append_line(self.path / CHANGES, change, sync=True)

    def change_log(self) -> list[dict[str, Any]]:
        """Return all changes, oldest first."""
        return list(read_lines(self.path / CHANGES))

    def write_status(self, **status: Any) -> None:
        """Replace status.json, adding time and process id. Errors are ignored: a full disk must not stop the run."""
        status = {"pid": os.getpid(), "heartbeat": time.time(), **status}
        try:
            replace_text(self.path / STATUS, json.dumps(status), sync=False)
        except OSError:
            return

    def log(self, line: str) -> None:
        """Append a line to log.txt. Errors are ignored: a full disk must not stop the run."""
        try:
            with (self.path / LOG).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError:
            return

    def log_stats(self, **values: Any) -> None:
        """Append a line to stats.jsonl. Raises OSError."""
        append_line(self.path / STATS, values)

    def truncate_after(self, key: str, limit: float) -> None:
        """Drop the lines of stats.jsonl with `key` (a number or {mean}) above `limit`; a resumed run repeats them."""
        path = self.path / STATS
        if not path.exists():
            return
        lines = [line for line in read_lines(path) if _mean_of(line.get(key)) <= limit]
        replace_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def replace_text(path: Path, text: str, sync: bool = True) -> None:
    """Replace a text file atomically, so that no reader sees half of it. Raises OSError."""
    with atomic_write(path, sync=sync) as part:
        part.write_text(text, encoding="utf-8")


def append_line(path: Path, values: Mapping[str, Any], sync: bool = False) -> None:
    """Append a line of JSON, after ending a line that a killed process left incomplete. Raises OSError."""
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
    """Yield the lines of a JSON Lines file; incomplete or damaged ones are skipped."""
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


def _mean_of(value: Any) -> float:
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
