"""A driver for a renderer in tests: submits scenes and waits for answers, with a timeout."""

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
from renderer.stages.render_output import RenderOutput
from session import Scene

A = TypeVar("A")
TIMEOUT = 40.0  # seconds; test machines may be busy


class RenderDriver:
    """Numbers the requests and collects the answers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.answers: list[Answer] = []
        self._waiting: deque[Answer] = deque()
        self.slowest_call = 0.0  # seconds
        self._id = 0

    def submit(self, scene: Scene, view: str = "canvas", active: bool = False) -> int:
        """Submit a scene; return the request's id."""
        self._id += 1
        self._timed(lambda: self.client.submit(RenderRequest(view, self._id, scene), active=active))
        return self._id

    def poll(self) -> list[Answer]:
        """Return the new answers; they are queued for `wait` as well."""
        answers = self._timed(self.client.poll)
        self.answers += answers
        self._waiting += answers
        return answers

    def wait(self, kind: type[A], accept: Callable[[A], bool] = lambda _: True, timeout: float = TIMEOUT) -> A:
        """Wait for the next answer of a type that `accept` accepts."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.poll()
            while self._waiting:
                answer = self._waiting.popleft()
                if isinstance(answer, kind) and accept(answer):
                    return answer
            time.sleep(0.002)
        raise AssertionError(f"No {kind.__name__} came in {timeout} s; the last answers: {self.answers[-3:]!r:.500}")

    def render(self, scene: Scene, view: str = "canvas") -> RenderResult:
        """Submit a scene and wait for its result."""
        number = self.submit(scene, view)
        return self.wait(RenderResult, lambda result: result.id == number)

    def wait_until_started(self, number: int) -> None:
        """Wait until the renderer reports progress on this request."""
        self.wait(RenderProgress, lambda progress: progress.id == number)

    def wait_until(self, condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"This did not become true in {timeout} s."
            time.sleep(0.002)

    def _timed(self, call: Callable[[], A]) -> A:
        began = time.monotonic()
        try:
            return call()
        finally:
            self.slowest_call = max(self.slowest_call, time.monotonic() - began)


def read_pixels(output: RenderOutput) -> np.ndarray:
    """The image as a frame, uint8 [H, W, 4]."""
    frame = np.empty((output.height, output.width, 4), np.uint8)
    output.write_rgba(frame)
    return frame


def assert_matches_engine(result: RenderResult, engine: Engine) -> None:
    """The image equals this process's rendering of its scene, bit for bit if both use the same kernels.

    A compiled kernel that is still being built may be available to one process only.
    """
    expected = engine.render(result.scene)
    frame = np.empty_like(result.frame)
    expected.write_rgba(frame)
    if expected.model.kernels == result.model.kernels:
        assert np.array_equal(result.frame, frame)
    else:
        assert np.abs(result.frame.astype(int) - frame).max() <= 2


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
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


def has_exited(pid: int, within: float = 5.0) -> bool:
    """Whether a process exits in time."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not is_running(pid):
            return True
        time.sleep(0.01)
    return False
