"""Watching runs from another process: listing them, reading their status, following their files."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runs.run_folder import PARSE_ERRORS, RUN, STATUS, RunError, RunFolder
from session.bounded_read import read_bounded

MAX_STATUS_BYTES = 2**20
HEARTBEAT_TIMEOUT = 60.0  # seconds, after which a run on another machine counts as gone


@dataclass(frozen=True)
class RunStatus:
    """The status of a run at one moment."""

    path: Path
    kind: str
    state: str  # "starting", "running", "stopped", "done", "failed", or "gone": its process ended unexpectedly
    done: float
    total: float
    facts: dict[str, Any]  # all of status.json


class Tail:
    """Follows a growing file; an incomplete last line is returned once it is complete."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._offset = 0

    def lines(self) -> list[str]:
        """Return the new complete lines. A file that has shrunk is read from its start; a missing one is empty."""
        try:
            with self.path.open("rb") as file:
                if self._offset > os.fstat(file.fileno()).st_size:
                    self._offset = 0
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return []
        complete = new[: new.rfind(b"\n") + 1]
        self._offset += len(complete)
        return complete.decode("utf-8", errors="replace").splitlines()

    def values(self) -> list[dict[str, Any]]:
        """Return the new lines parsed as JSON objects; damaged ones are skipped."""
        values = []
        for line in self.lines():
            try:
                value = json.loads(line)
            except PARSE_ERRORS:
                continue
            if isinstance(value, dict):
                values.append(value)
        return values


def read_status(path: str | Path) -> RunStatus:
    """Return the status of a run. Raises RunError if the folder is not a run."""
    folder = RunFolder(path)
    description = folder.read_description()
    try:
        facts = json.loads(read_bounded(folder.path / STATUS, MAX_STATUS_BYTES))
    except (OSError, *PARSE_ERRORS):
        facts = {}
    facts = facts if isinstance(facts, dict) else {}
    state = str(facts.get("state", "starting"))
    if state in ("starting", "running") and facts and not _is_alive(facts, description):
        state = "gone"
    return RunStatus(
        folder.path, str(description.get("kind")), state, _number(facts, "done"), _number(facts, "total"), facts
    )


def list_runs(outdir: str | Path) -> list[Path]:
    """Return the run folders in a folder, sorted by name."""
    out = Path(outdir)
    try:
        return sorted(entry for entry in out.iterdir() if (entry / RUN).is_file())
    except OSError:
        return []


def _is_alive(facts: dict[str, Any], description: dict[str, Any]) -> bool:
    if description.get("host") == socket.gethostname() and os.name != "nt":
        try:
            os.kill(int(facts["pid"]), 0)
        except PermissionError:
            return True
        except (KeyError, TypeError, ValueError, OSError):
            return False
        return True
    return time.time() - _number(facts, "heartbeat") < HEARTBEAT_TIMEOUT


def _number(facts: dict[str, Any], key: str) -> float:
    value = facts.get(key)
    return float(value) if isinstance(value, (int, float)) else 0.0


__all__ = ["RunError", "RunStatus", "Tail", "read_status", "list_runs"]
