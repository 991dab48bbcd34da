"""The whole program off-screen: from a changed slider to the new picture in the texture, and pictures per second."""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.measure import apart, since_start
from gui.app import App
from gui.backend.headless import Headless
from renderer.client import OtherProcess
from renderer.messages import RenderRequest, RenderResult
from session import Model, Scene, Session
from widgets import PANELS

HAND = 1 / 60  # seconds between two moves of a hand, and between two frames of a usual display
PAUSE = 0.05  # seconds between two clicks: what they cause is all painted by then


class Program:
    """The program with a network of `benchmarks.networks`, or the demo network where the name is empty."""

    def __init__(self, case: str, width: int, height: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bandlimit-bench-")
        folder = Path(self._folder.name)
        path = str(folder / "network.safetensors") if case else ""
        if case:  # in another process: torch has no place in the window's
            apart("speed:write", case=case, path=path)
        self.news = threading.Event()
        self.client = OtherProcess(wake=self.news.set)
        self.screen = Headless(width, height)
        session = Session((Scene(model=Model(path=path)),))
        self.app = App(PANELS, self.client, session, folder=folder / "settings")

    def change(self, number: int) -> None:
        """What dragging across the latent map does: everything from the mapping on is computed anew."""
        scene = self.app.scene
        latent = replace(scene.latent, x=(number % 997) * 0.013)
        self.app.document.edit(replace(scene, latent=latent), "bench")
        self.screen.scheduler.on_input()

    def rest(self, until: float) -> None:
        """Wait as the window's loop does, for news or the next frame, but no longer than until then."""
        seconds = min(self.screen.scheduler.seconds_until_due(self.app), until - time.perf_counter())
        if seconds > 0:
            self.news.wait(seconds)
        self.news.clear()

    def settle(self, seconds: float = 120.0) -> float:
        """Until what is to be drawn is asked for and its picture in the texture; when it was. Raises TimeoutError."""
        end = time.perf_counter() + seconds
        asked = self.app.views.canvas.request
        while True:
            self.screen.run_once(self.app)
            if self.app.views.canvas.request is not asked and not self.app.is_waiting:
                return self.app.views.meter.arrivals[-1]
            if time.perf_counter() > end:
                raise TimeoutError("no picture came")
            self.rest(end)

    def pause(self) -> None:
        """Whatever is to be painted still is, and the hand rests for a moment."""
        end = time.perf_counter() + PAUSE
        while time.perf_counter() < end:
            self.screen.run_once(self.app)
            self.rest(end)

    @property
    def views(self) -> int:
        """The id of the picture in the texture."""
        result = self.app.views.canvas.result
        return result.id if result is not None else -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.app.close()
        self.screen.close()
        self.client.close()
        self._folder.cleanup()


def latency(case: str, width: int, height: int, seconds: float) -> dict[str, Any]:
    """Change to texture one by one, and the renderer alone with the same changes, in blocks that alternate."""
    with Program(case, width, height) as program:
        program.settle()
        numbers = iter(range(1, 10**9))
        through: list[float] = []
        alone: list[float] = []
        inside: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(through) < 10:
            for _ in range(5):
                program.pause()
                began = time.perf_counter()
                program.change(next(numbers))
                through.append(program.settle() - began)
                result = program.app.views.canvas.result
                assert result is not None
                inside.append(result.timing["total"] / 1000)
            program.pause()
            for _ in range(5):
                alone.append(_ask(program, next(numbers)))
        return {
            "latency": median(through),
            "alone": median(alone),
            "inside": median(inside),
            "ratio": median(through) / median(alone),
            "count": len(through),
        }


def _ask(program: Program, number: int) -> float:
    """Seconds that the renderer takes for one picture when nothing is drawn."""
    scene = program.app.scene
    request = RenderRequest("alone", number, replace(scene, latent=replace(scene.latent, x=(number % 997) * 0.013)))
    began = time.perf_counter()
    program.client.submit(request, first=True)
    while True:
        program.news.wait(0.05)
        program.news.clear()
        for answer in program.client.poll():
            if isinstance(answer, RenderResult) and answer.view == "alone" and answer.id == number:
                return time.perf_counter() - began


def rate(case: str, width: int, height: int, seconds: float) -> dict[str, Any]:
    """New pictures per second while a hand moves all the time, sixty times a second; frames are the painted ones."""
    with Program(case, width, height) as program:
        program.settle()
        seen, painted, number = set(), 0, 0
        began = next_move = time.perf_counter()
        while (now := time.perf_counter()) < began + seconds:
            if now >= next_move:
                number += 1
                program.change(number)
                next_move = max(next_move + HAND, now)
            painted += program.screen.run_once(program.app)
            seen.add(program.views)
            program.rest(next_move)
        took = time.perf_counter() - began
        return {"pictures": len(seen) / took, "frames": painted / took}


def start_up(case: str = "") -> dict[str, float]:
    """Seconds from the start of the interpreter to the first picture in the texture of an off-screen window."""
    with Program(case, 640, 400) as program:
        program.settle()
        return {"seconds": since_start()}


def torch_alone() -> dict[str, float]:
    """Seconds in which an interpreter starts and imports torch: the least that a renderer takes."""
    import torch  # noqa: F401

    return {"seconds": since_start()}
