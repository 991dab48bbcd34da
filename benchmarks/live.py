"""Measure the whole program off-screen: latency from a changed slider to the new texture, and images per second."""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.measure import run_in_process, seconds_since_start
from gui.app import App
from gui.backend.headless import Headless
from renderer.client import SubprocessRenderer
from renderer.messages import RenderRequest, RenderResult
from session import Model, Scene, Session
from widgets import PANELS

MOVE_INTERVAL = 1 / 60  # seconds between two moves of the mouse, and two frames of a 60 Hz display
PAUSE = 0.05  # seconds between two edits, enough for all frames of the first to be drawn


class Program:
    """The program with a network of `benchmarks.networks`, or the demo network if the name is empty."""

    def __init__(self, case: str, width: int, height: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bandlimit-bench-")
        folder = Path(self._folder.name)
        path = str(folder / "network.safetensors") if case else ""
        if case:  # in another process: the window's process does not load torch
            run_in_process("speed:write_network", case=case, path=path)
        self.news = threading.Event()
        self.client = SubprocessRenderer(wake=self.news.set)
        self.screen = Headless(width, height)
        session = Session((Scene(model=Model(path=path)),))
        self.app = App(PANELS, self.client, session, folder=folder / "settings")

    def edit(self, number: int) -> None:
        """Move the latent as a drag across the latent map does; all from the mapping network on is recomputed."""
        scene = self.app.scene
        latent = replace(scene.latent, x=(number % 997) * 0.013)
        self.app.document.edit(replace(scene, latent=latent), "bench")
        self.screen.scheduler.on_input()

    def wait(self, until: float) -> None:
        """Wait as the window's loop does, for news or the next frame, until the time `until` at most."""
        seconds = min(self.screen.scheduler.seconds_until_due(self.app), until - time.perf_counter())
        if seconds > 0:
            self.news.wait(seconds)
        self.news.clear()

    def wait_for_image(self, seconds: float = 120.0) -> float:
        """Run the window's loop until the edit's image is in the texture; return when. Raises TimeoutError."""
        end = time.perf_counter() + seconds
        asked = self.app.views.canvas.request
        while True:
            self.screen.run_once(self.app)
            if self.app.views.canvas.request is not asked and not self.app.is_waiting:
                return self.app.views.meter.arrivals[-1]
            if time.perf_counter() > end:
                raise TimeoutError("no picture came")
            self.wait(end)

    def pause(self) -> None:
        """Draw what is still to be drawn, and do nothing for a moment."""
        end = time.perf_counter() + PAUSE
        while time.perf_counter() < end:
            self.screen.run_once(self.app)
            self.wait(end)

    @property
    def image_id(self) -> int:
        """The id of the image in the texture."""
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
    """Time edit to texture one by one, and the renderer alone with the same edits, in alternating blocks."""
    with Program(case, width, height) as program:
        program.wait_for_image()
        positions = iter(range(1, 10**9))
        end_to_end: list[float] = []
        alone: list[float] = []
        rendering: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(end_to_end) < 10:
            for _ in range(5):
                program.pause()
                began = time.perf_counter()
                program.edit(next(positions))
                end_to_end.append(program.wait_for_image() - began)
                result = program.app.views.canvas.result
                assert result is not None
                rendering.append(result.timing["total"] / 1000)
            program.pause()
            for _ in range(5):
                alone.append(_time_renderer_alone(program, next(positions)))
        return {
            "latency": median(end_to_end),
            "alone": median(alone),
            "inside": median(rendering),
            "ratio": median(end_to_end) / median(alone),
            "count": len(end_to_end),
        }


def _time_renderer_alone(program: Program, number: int) -> float:
    """Return the renderer's seconds for one image, without drawing."""
    scene = program.app.scene
    request = RenderRequest("alone", number, replace(scene, latent=replace(scene.latent, x=(number % 997) * 0.013)))
    began = time.perf_counter()
    program.client.submit(request, active=True)
    while True:
        program.news.wait(0.05)
        program.news.clear()
        for answer in program.client.poll():
            if isinstance(answer, RenderResult) and answer.view == "alone" and answer.id == number:
                return time.perf_counter() - began


def rate(case: str, width: int, height: int, seconds: float) -> dict[str, Any]:
    """Count new images per second, and frames drawn, while a slider is dragged sixty times a second."""
    with Program(case, width, height) as program:
        program.wait_for_image()
        image_ids, painted, number = set(), 0, 0
        began = next_move = time.perf_counter()
        while (now := time.perf_counter()) < began + seconds:
            if now >= next_move:
                number += 1
                program.edit(number)
                next_move = max(next_move + MOVE_INTERVAL, now)
            painted += program.screen.run_once(program.app)
            image_ids.add(program.image_id)
            program.wait(next_move)
        elapsed = time.perf_counter() - began
        return {"images": len(image_ids) / elapsed, "frames": painted / elapsed}


def start_up(case: str = "") -> dict[str, float]:
    """Return the seconds from the interpreter's start to the first image in an off-screen window's texture."""
    with Program(case, 640, 400) as program:
        program.wait_for_image()
        return {"seconds": seconds_since_start()}


def torch_alone() -> dict[str, float]:
    """Return the seconds in which an interpreter starts and imports torch: a lower bound for a renderer."""
    import torch  # noqa: F401

    return {"seconds": seconds_since_start()}
