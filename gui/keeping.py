"""Files that are written while one works: settings, the session, saved pictures; never on the window's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gui import prefs as preferences
from gui.prefs import Prefs
from session import Session, png

EVERY = 3.0  # seconds between two saves of what changes
Say = Callable[..., None]  # say(text, kind): a toast


class Keeper:
    """Keeps a folder of settings up to date and writes pictures, one file after the other on a thread of its own."""

    def __init__(self, folder: Path, prefs: Prefs, session: Session | None, say: Say) -> None:
        """`prefs` and `session` are what the folder holds now."""
        self.last_saved = ""  # path of the newest picture
        self._folder, self._say = folder, say
        self._kept: tuple[Prefs, Session | None] = (prefs, session)
        self._kept_at = time.perf_counter()
        self._trouble = ""
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="files")
        self._writing: list[tuple[Future[Path], Path]] = []

    @property
    def writing(self) -> bool:
        """Whether a picture is still to be written."""
        return bool(self._writing)

    @property
    def due(self) -> bool:
        """Whether it is time to keep what has changed."""
        return time.perf_counter() - self._kept_at > EVERY

    def keep(self, prefs: Prefs, session: Session | None, *, now: bool = False) -> None:
        """Write settings and session (None: leave it) where they have changed; with `now` before this returns."""
        self._kept_at = time.perf_counter()
        if prefs != self._kept[0]:
            self._do(now, preferences.save, prefs)
        if session is not None and session != self._kept[1]:
            self._do(now, preferences.save_session, session)
        self._kept = (prefs, session or self._kept[1])

    def save_png(self, pixels: np.ndarray, session: Session | None, folder: Path) -> None:
        """Write pixels under the next free number of a folder."""

        def write() -> Path:
            path = png.next_free(folder)
            png.save_png(path, pixels, session)
            return path

        self._writing.append((self._worker.submit(write), folder))

    def report(self) -> None:
        """Say what has been written since the last call, and what could not be."""
        waiting: list[tuple[Future[Path], Path]] = []
        for future, folder in self._writing:
            if not future.done():
                waiting.append((future, folder))
            elif (error := future.exception()) is None:
                self.last_saved = str(future.result())
                self._say(f"Saved {self.last_saved}")
            else:
                why = getattr(error, "strerror", None) or str(error)
                self._say(f"Nothing could be saved in {folder} ({why}): choose another folder.", "error")
        self._writing = waiting
        if self._trouble:
            self._say(self._trouble, "warning")
            self._trouble = ""

    def close(self) -> None:
        """Wait until everything is written."""
        self._worker.shutdown(wait=True)

    def _do(self, now: bool, save: Callable[[Path, Any], None], value: Any) -> None:
        if now:
            self._write(save, value)
        else:
            self._worker.submit(self._write, save, value)

    def _write(self, save: Callable[[Path, Any], None], value: Any) -> None:
        """Save one thing; a folder that cannot be written costs a sentence, not the program."""
        try:
            save(self._folder, value)
        except OSError as error:
            self._trouble = f"{self._folder} cannot be written ({error.strerror}): settings are not kept."
