"""Map a function over the images of a source with several processes, in order."""

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
WorkerFn = Callable[[Source, int, Any, Any], Result]  # source, index, payload, task
_CHUNK_SIZE = 16


class WorkerPool(Generic[Result]):
    """Calls `work`, a module-level function, for images 0 to count - 1; in this process if there is one worker."""

    def __init__(self, source: Source, count: int, workers: int, work: WorkerFn[Result]) -> None:
        self.source, self.count, self.workers, self.work = source, count, workers, work
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> WorkerPool[Result]:
        if self.workers > 1:
            context = multiprocessing.get_context("spawn")
            with _block_sigint():
                self._pool = ProcessPoolExecutor(self.workers, context, _init_worker, (self.source,))
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map_ordered(self, args: Any) -> Iterator[Result]:
        """Yield the result of `work` for each image, in order. Raises DatasetError if a worker was killed."""
        if self._pool is None:
            for index in range(self.count):
                yield self.work(self.source, index, self.source.payload(index), args)
            return
        pending: deque[Future[list[Result]]] = deque()
        try:
            for start in range(0, self.count, _CHUNK_SIZE):
                payloads = [(i, self.source.payload(i)) for i in range(start, min(start + _CHUNK_SIZE, self.count))]
                with _block_sigint():
                    pending.append(self._pool.submit(_run_chunk, self.work, payloads, args))
                if len(pending) > 4 * self.workers:  # bounds memory
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool:
            raise DatasetError(
                "A worker process was stopped, most likely for want of memory: use fewer with --workers."
            ) from None


@contextmanager
def _block_sigint() -> Iterator[None]:
    """Block SIGINT during the block; processes started in it inherit the mask.

    Otherwise Ctrl-C would end a worker that has not reached `_init_worker` yet with a traceback on the screen.
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


def _init_worker(source: Source) -> None:
    """Initialize a worker: it ignores Ctrl-C, which the parent handles, and exits when the parent does."""
    global _worker_source
    _worker_source = source
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_chunk(work: WorkerFn[Result], payloads: Sequence[tuple[int, Any]], args: Any) -> list[Result]:
    assert _worker_source is not None
    return [work(_worker_source, index, payload, args) for index, payload in payloads]
