"""Downloads of networks on background threads, so that other scenes can be rendered meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from networks.checkpoints.download import fetch

POLL_SECONDS = 0.05  # between two progress reports
SHUTDOWN_SECONDS = 0.2  # for downloads to save what they have received


class Downloads:
    """The downloads in progress. One whose request was cancelled continues in the background, into the file cache."""

    def __init__(self) -> None:
        self._running: dict[str, _Download] = {}

    def get(self, url: str, on_progress: Callable[[float | None], None]) -> Path:
        """Download a URL and return the local file. `on_progress` may raise, which ends only the waiting.

        Raises CheckpointError.
        """
        download = self._running.get(url)
        if download is None:
            download = self._running[url] = _Download(url)
            download.thread.start()
        download.thread.join(POLL_SECONDS)
        while download.thread.is_alive():
            on_progress(download.fraction)
            download.thread.join(POLL_SECONDS)
        del self._running[url]
        if download.error is not None:
            raise download.error
        assert download.path is not None
        return download.path

    def close(self) -> None:
        """Stop all downloads; partial files stay in the cache and are resumed the next time."""
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
        except Exception as error:  # noqa: BLE001 - reraised by `get` on the waiting thread
            self.error = error

    def _progress(self, done: int, total: int | None) -> None:
        self.fraction = done / total if total else None
        if self.stop:
            raise _Stopped
