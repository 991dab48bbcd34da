"""Networks on their way from the internet, on threads of their own, so that other pictures can be made meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from networks.checkpoints.download import fetch

POLL_SECONDS = 0.05  # seconds between two looks at a download
SHUTDOWN_SECONDS = 0.2  # seconds that downloads have to put away what they hold


class Downloads:
    """The downloads under way; one that nobody waits for any more goes on, and is found in the cache later."""

    def __init__(self) -> None:
        self._running: dict[str, _Download] = {}

    def get(self, url: str, tell: Callable[[float | None], None]) -> Path:
        """The local file of a URL. `tell` hears how far it is and may raise, which only ends the waiting.

        Raises CheckpointError.
        """
        download = self._running.get(url)
        if download is None:
            download = self._running[url] = _Download(url)
            download.thread.start()
        download.thread.join(POLL_SECONDS)
        while download.thread.is_alive():
            tell(download.fraction)
            download.thread.join(POLL_SECONDS)
        del self._running[url]
        if download.error is not None:
            raise download.error
        assert download.path is not None
        return download.path

    def close(self) -> None:
        """Break off what is under way; what has come stays in the cache for the next time."""
        for download in self._running.values():
            download.stop = True
        for download in self._running.values():
            download.thread.join(SHUTDOWN_SECONDS)


class _Stopped(Exception):
    pass


class _Download:
    def __init__(self, url: str) -> None:
        self.url = url
        self.fraction: float | None = None
        self.path: Path | None = None
        self.error: Exception | None = None
        self.stop = False
        self.thread = threading.Thread(target=self._run, name="download", daemon=True)

    def _run(self) -> None:
        try:
            self.path = fetch(self.url, progress=self._progress)
        except Exception as error:  # noqa: BLE001 - raised again by `get`, on the thread that waits
            self.error = error

    def _progress(self, done: int, total: int | None) -> None:
        self.fraction = done / total if total else None
        if self.stop:
            raise _Stopped
