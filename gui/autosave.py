"""Files that are written while one works: settings, the session, saved pictures; never on the window's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gui import preferences
from gui.preferences import Prefs
from session import Session, png

EVERY = 3.0  # seconds between two saves of what changes
Say = Callable[..., None]  # say(text, kind): a toast
Save = Callable[[Path, Any], None]  # save(folder, value)


class Keeper:
    """Keeps a folder of settings up to date and writes pictures, one file after the other on a thread of its own."""

    def __init__(self, folder: Path, prefs: Prefs, session: Session | None, say: Say) -> None:
        """`prefs` and `session` are what the folder holds now."""
        self.last_saved = ""  # path of the newest picture
        self._folder, self._say = folder, say
        self._kept: dict[Save, Any] = {preferences.save: prefs, preferences.save_session: session}
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
        for save, value in ((preferences.save, prefs), (preferences.save_session, session)):
            if value is None or value == self._kept.get(save):
                continue
            self._kept[save] = value
            if now:
                self._write(save, value, "what was changed since is lost; make room there before the next start")
            else:
                again = f"it is tried again every {EVERY:.0f} seconds and when the program ends"
                self._worker.submit(self._write, save, value, again)

    def save_png(self, pixels: np.ndarray, session: Session | None, folder: Path) -> None:
        """Write pixels under the next free number of a folder."""

        def write() -> Path:
            path = png.next_free(folder)
            png.save_png(path, pixels, session)
            return path

        self._writing.append((self._worker.submit(write), folder))

    def report(self, say: Say | None = None) -> None:
        """Say (as toasts, or as told) what has been written since the last call, and what could not be."""
        say = say or self._say
        waiting: list[tuple[Future[Path], Path]] = []
        for future, folder in self._writing:
            if not future.done():
                waiting.append((future, folder))
            elif (error := future.exception()) is None:
                self.last_saved = str(future.result())
                say(f"Saved {self.last_saved}")
            else:
                why = getattr(error, "strerror", None) or str(error)
                say(
                    f"No picture could be saved in {folder} ({why}): free some space, or start with --capture-dir.",
                    "error",
                )
        self._writing = waiting
        if self._trouble:
            say(self._trouble, "warning")
            self._trouble = ""

    def close(self) -> None:
        """Wait until everything is written."""
        self._worker.shutdown(wait=True)

    def _write(self, save: Save, value: Any, then: str) -> None:
        """Save one thing; a folder that cannot be written costs a sentence, not the program, and is tried again."""
        try:
            save(self._folder, value)
        except OSError as error:
            self._kept.pop(save, None)
            what = "settings" if save is preferences.save else "the session"
            self._trouble = f"{self._folder} cannot be written ({error.strerror}): {what} could not be kept; {then}."
