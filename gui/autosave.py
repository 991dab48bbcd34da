"""Background writer for settings, autosave and screenshots."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gui import preferences
from gui.preferences import Preferences
from session import Session, png

INTERVAL = 3.0  # seconds between two saves
Notify = Callable[..., None]  # notify(text, kind): show a toast
Save = Callable[[Path, Any], None]  # save(folder, value)


class Autosave:
    """Saves settings and session when they change, and writes images, one file after the other on a worker thread."""

    def __init__(self, folder: Path, prefs: Preferences, session: Session | None, notify: Notify) -> None:
        """`prefs` and `session` are those that the folder holds already."""
        self.last_saved = ""  # path of the newest image
        self._folder, self._notify = folder, notify
        self._saved: dict[Save, Any] = {preferences.save: prefs, preferences.save_session: session}
        self._saved_at = time.perf_counter()
        self._problem = ""
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="files")
        self._writing: list[tuple[Future[Path], Path]] = []

    @property
    def is_writing(self) -> bool:
        """Whether an image is still to be written."""
        return bool(self._writing)

    @property
    def is_due(self) -> bool:
        """Whether INTERVAL seconds have passed since the last save."""
        return time.perf_counter() - self._saved_at > INTERVAL

    def save_changed(self, prefs: Preferences, session: Session | None, *, wait: bool = False) -> None:
        """Write settings and session (None: skip it) where they have changed; with `wait`, before this returns."""
        self._saved_at = time.perf_counter()
        for save, value in ((preferences.save, prefs), (preferences.save_session, session)):
            if value is None or value == self._saved.get(save):
                continue
            self._saved[save] = value
            if wait:
                self._write(save, value, "what was changed since is lost; make room there before the next start")
            else:
                retry = f"it is tried again every {INTERVAL:.0f} seconds and when the program ends"
                self._worker.submit(self._write, save, value, retry)

    def save_png(self, pixels: np.ndarray, session: Session | None, folder: Path) -> None:
        """Write an image under the next free number of a folder."""

        def write() -> Path:
            path = png.next_free_path(folder)
            png.save_png(path, pixels, session)
            return path

        self._writing.append((self._worker.submit(write), folder))

    def flush_messages(self, notify: Notify | None = None) -> None:
        """Report what has been written since the last call and what failed, by `notify` (default: as toasts)."""
        notify = notify or self._notify
        waiting: list[tuple[Future[Path], Path]] = []
        for future, folder in self._writing:
            if not future.done():
                waiting.append((future, folder))
            elif (error := future.exception()) is None:
                self.last_saved = str(future.result())
                notify(f"Saved {self.last_saved}")
            else:
                why = getattr(error, "strerror", None) or str(error)
                notify(
                    f"No picture could be saved in {folder} ({why}): free some space, or start with --capture-dir.",
                    "error",
                )
        self._writing = waiting
        if self._problem:
            notify(self._problem, "warning")
            self._problem = ""

    def close(self) -> None:
        """Wait until everything is written."""
        self._worker.shutdown(wait=True)

    def _write(self, save: Save, value: Any, then: str) -> None:
        """Save one value; where the folder cannot be written, note a warning and retry at the next save."""
        try:
            save(self._folder, value)
        except OSError as error:
            self._saved.pop(save, None)
            what = "settings" if save is preferences.save else "the session"
            self._problem = f"{self._folder} cannot be written ({error.strerror}): {what} could not be kept; {then}."
