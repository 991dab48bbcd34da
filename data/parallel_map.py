"""Work on every picture of a source, in order, by several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from data.errors import DatasetError
from data.sources import Source

Result = TypeVar("Result")
Work = Callable[[Source, int, Any, Any], Result]  # source, index, parcel, task
_CHUNK = 16


class Crew(Generic[Result]):
    """Calls `work` (a function at the top of a module) for pictures 0 to count - 1, here or in spawned processes."""

    def __init__(self, source: Source, count: int, workers: int, work: Work[Result]) -> None:
        self.source, self.count, self.workers, self.work = source, count, workers, work
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Crew[Result]:
        if self.workers > 1:
            context = multiprocessing.get_context("spawn")
            with _undisturbed():
                self._pool = ProcessPoolExecutor(self.workers, context, _begin, (self.source,))
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def each(self, task: Any) -> Iterator[Result]:
        """What `work` says of each picture, in order. Raises DatasetError where a process was killed."""
        if self._pool is None:
            for index in range(self.count):
                yield self.work(self.source, index, self.source.parcel(index), task)
            return
        waiting: deque[Future[list[Result]]] = deque()
        try:
            for start in range(0, self.count, _CHUNK):
                parcels = [(i, self.source.parcel(i)) for i in range(start, min(start + _CHUNK, self.count))]
                with _undisturbed():
                    waiting.append(self._pool.submit(_several, self.work, parcels, task))
                if len(waiting) > 4 * self.workers:  # memory stays bounded
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise DatasetError(
                "A worker process was stopped, most likely for want of memory: use fewer with --workers."
            ) from None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until the block is done, and never reaches what is started in it.

    Else a worker that has not come to `_begin` yet would end with a traceback on the screen.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker_source: Source | None = None


def _begin(source: Source) -> None:
    """In each worker, first: Ctrl-C is the first process's business, and its end is the worker's."""
    global _worker_source
    _worker_source = source
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _several(work: Work[Result], parcels: Sequence[tuple[int, Any]], task: Any) -> list[Result]:
    assert _worker_source is not None
    return [work(_worker_source, index, parcel, task) for index, parcel in parcels]
