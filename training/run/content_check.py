"""Notices that images of a run's dataset were replaced under the same names and lengths, also while it trains.

A sample of the images is compared at the start of each session, and all of them in the background. What was read is
kept in the run's folder, in data.json; runs begun before there was one go on, and have one from then on.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from data import DatasetError
from data.archive import Archive
from data.content_digest import block_digest, blocks, sample_digest
from runs.run_folder import RunError, replace_text

FILE = "data.json"


class ContentCheck:
    """Compares a dataset's images with those that the run in `folder` began with."""

    def __init__(self, folder: Path, archive: Archive) -> None:
        self._path, self._archive = folder / FILE, archive
        self._sample = ""
        self._digests: list[str] = []  # of the blocks, as the run began with them
        self._written = -1
        self._problem = ""
        self._resumed_at = 0.0  # when reading went on after the last pause
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, resumed: bool) -> None:
        """Compare a sample, and begin to compare all images. Raises RunError if the sample differs."""
        known = self._read() if resumed else {}
        self._sample = sample_digest(self._archive)
        if known.get("sample", self._sample) != self._sample:
            raise RunError(
                f"Pictures of {self._archive.path} were replaced by others of the same names since this run began, so "
                "it cannot continue exactly; put them back, or begin a new run with --resume."
            )
        self._digests = known.get("blocks", [])
        self.save()
        self._thread = threading.Thread(target=self._compare_all, name="content check", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise RunError if an image was found to be another."""
        if self._problem:
            raise RunError(self._problem)

    def save(self) -> None:
        """Keep what is known, for later sessions. Raises OSError."""
        digests = list(self._digests)
        if len(digests) != self._written:
            replace_text(self._path, json.dumps({"sample": self._sample, "blocks": digests}))
            self._written = len(digests)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until all images were compared."""
        if self._thread is not None:
            self._thread.join(seconds)

    def stop(self) -> None:
        """Stop comparing."""
        self._stopped.set()
        self.wait()

    def _compare_all(self) -> None:
        try:
            for number, names in enumerate(blocks(self._archive)):
                self._resumed_at = time.monotonic()
                digest = block_digest(self._archive, names, self._pause)
                if digest is None:
                    return
                if number >= len(self._digests):
                    self._digests.append(digest)
                elif digest != self._digests[number]:
                    self._problem = (
                        f"Pictures of {self._archive.path} were replaced since this run began, among {names[0]} to "
                        f"{names[-1]}, so it stopped before its next state; put them back and go on with --run, or "
                        "begin a new run with --resume."
                    )
                    return
        except DatasetError as error:
            self._problem = str(error)

    def _pause(self) -> bool:
        """Leave half of the time to the training; return whether to go on."""
        stopped = self._stopped.wait(min(time.monotonic() - self._resumed_at, 1))
        self._resumed_at = time.monotonic()
        return not stopped

    def _read(self) -> dict[str, Any]:
        """Return what was kept; empty if there is nothing, or it is damaged."""
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        is_whole = isinstance(known, dict) and isinstance(known.get("sample"), str)
        listed = known.get("blocks") if is_whole else None
        is_whole = is_whole and isinstance(listed, list) and all(isinstance(digest, str) for digest in listed)
        return known if is_whole else {}
