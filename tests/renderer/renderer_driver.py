"""Helps tests to wait for answers without ever waiting in vain."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from renderer.client import Client
from renderer.engine import Engine
from renderer.messages import Answer, RenderProgress, RenderRequest, RenderResult
from session import Scene

A = TypeVar("A")
PATIENCE = 40.0  # seconds; machines that run tests are busy


class Asker:
    """Gives requests their ids and gathers answers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.answers: list[Answer] = []
        self._waiting: deque[Answer] = deque()
        self.slowest_call = 0.0  # seconds
        self._id = 0

    def ask(self, scene: Scene, view: str = "canvas", first: bool = False) -> int:
        """Submit; the request's id."""
        self._id += 1
        self._timed(lambda: self.client.submit(RenderRequest(view, self._id, scene), active=first))
        return self._id

    def poll(self) -> list[Answer]:
        """What has come; it is also what `wait` looks at next."""
        answers = self._timed(self.client.poll)
        self.answers += answers
        self._waiting += answers
        return answers

    def wait(self, kind: type[A], wanted: Callable[[A], bool] = lambda _: True, timeout: float = PATIENCE) -> A:
        """The next answer of a kind that is wanted."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.poll()
            while self._waiting:
                answer = self._waiting.popleft()
                if isinstance(answer, kind) and wanted(answer):
                    return answer
            time.sleep(0.002)
        raise AssertionError(f"No {kind.__name__} came in {timeout} s; the last answers: {self.answers[-3:]!r:.500}")

    def picture(self, scene: Scene, view: str = "canvas") -> RenderResult:
        """Ask, and wait for that very picture."""
        number = self.ask(scene, view)
        return self.wait(RenderResult, lambda result: result.id == number)

    def under_way(self, number: int) -> None:
        """Wait until the renderer says that it has begun on this request's network."""
        self.wait(RenderProgress, lambda progress: progress.id == number)

    def wait_until(self, true: Callable[[], bool], timeout: float = PATIENCE) -> None:
        end = time.monotonic() + timeout
        while not true():
            assert time.monotonic() < end, f"This did not become true in {timeout} s."
            time.sleep(0.002)

    def _timed(self, call: Callable[[], A]) -> A:
        began = time.monotonic()
        try:
            return call()
        finally:
            self.slowest_call = max(self.slowest_call, time.monotonic() - began)


def assert_pictures_scene(result: RenderResult, engine: Engine) -> None:
    """The picture is what an engine in this process makes of its scene: bit for bit where both have the same kernels.

    A compiled kernel that is being built may serve one process and not yet the other.
    """
    expected = engine.render(result.scene)
    frame = np.empty_like(result.frame)
    expected.write_rgba(frame)
    if expected.model.kernels == result.model.kernels:
        assert np.array_equal(result.frame, frame)
    else:
        assert np.abs(result.frame.astype(int) - frame).max() <= 2


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        pass
    if Path("/proc").is_dir():
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def gone(pid: int, within: float = 5.0) -> bool:
    """Whether a process ends in time."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not is_running(pid):
            return True
        time.sleep(0.01)
    return False
