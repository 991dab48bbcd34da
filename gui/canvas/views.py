"""Pictures on the screen: asks the renderer when a scene has changed, takes its answers, keeps each in a texture."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gui.canvas.gpu_interop import GpuInterop
from gui.canvas.texture import StreamTexture
from gui.panel import PerformanceStats, SecondaryView
from renderer.messages import (
    Answer,
    GpuOffer,
    GpuPlace,
    ModelInfo,
    RendererLost,
    RenderFailure,
    RenderProgress,
    RenderRequest,
    RenderResult,
)
from session import Scene

CANVAS = "canvas"
HISTORY = 240  # pictures whose timing is kept for the plot
EXACT_AFTER = 0.15  # seconds without a change after which a preview is followed by the exact picture
OUTDATED_AFTER = 0.8  # seconds without a new picture, at least, before the old one is dimmed
_ids = itertools.count(1)  # of the whole process: a renderer may outlive a window and serve the next


class Client(Protocol):
    """The renderer as the window knows it; nothing here blocks."""

    @property
    def offer(self) -> GpuOffer | None: ...
    def submit(self, request: RenderRequest, *, first: bool = False) -> None: ...
    def poll(self) -> list[Answer]: ...
    def reload(self, path: str) -> None: ...
    def forget(self, view: str) -> None: ...
    def share(self, bus: str, wanted: bool) -> None: ...
    def again(self) -> None: ...
    def close(self) -> None: ...


@dataclass
class ViewState:
    """One view: what was asked, what has come, and the texture that holds it."""

    request: RenderRequest | None = None
    requested_at: float = 0.0
    waiting_since: float | None = None  # None where the newest request is answered
    texture: StreamTexture | None = None
    result: RenderResult | None = None
    is_opaque: bool = False  # no pixel lets the ground through
    problem: RenderFailure | None = None
    requested_in_frame: bool = True

    @property
    def pixels(self) -> np.ndarray:
        """The picture, uint8 [H, W, 4]; there must be one. Needs the OpenGL context."""
        assert self.result is not None and self.texture is not None
        return self.result.frame.copy() if self.result.place is None else self.texture.read()

    def close(self) -> None:
        if self.texture is not None:
            self.texture.close()


@dataclass
class RateMeter:
    """How fast pictures come."""

    timings: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=120))
    latency: float = 0.0

    def note(self, timing: dict[str, float], latency: float, at: float) -> None:
        self.timings.append(timing)
        self.arrivals.append(at)
        self.latency = latency

    def stats(self, frames_per_second: float, transport: str) -> PerformanceStats:
        names = dict.fromkeys(name for timing in self.timings for name in timing)
        stages = {name: np.array([timing.get(name, 0.0) for timing in self.timings]) for name in names}
        return PerformanceStats(stages, events_per_second(self.arrivals), frames_per_second, self.latency, transport)


def events_per_second(moments: deque[float], window: float = 2.0) -> float:
    """Events per second over the last `window` seconds, from their moments by time.perf_counter."""
    now = time.perf_counter()
    recent = [moment for moment in moments if now - moment < window]
    return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 2 and recent[-1] > recent[0] else 0.0


class ViewManager:
    """All pictures of a window; needs its OpenGL context. `tell(answer)` hears of failures and of a lost renderer."""

    def __init__(self, client: Client, on_problem: Callable[[RenderFailure | RendererLost], None]) -> None:
        self.canvas = ViewState()
        self.model: ModelInfo | None = None
        self.progress: RenderProgress | None = None
        self.meter = RateMeter()
        self.interop = GpuInterop()
        self.answer_count = 0  # that the renderer has given so far
        self._client = client
        self._on_problem = on_problem
        self._secondary: dict[str, ViewState] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is due."""
        return self.waiting_since is not None

    @property
    def waiting_since(self) -> float | None:
        """Since when an answer is due, by time.perf_counter; None: none is."""
        since = (shown.waiting_since for shown in (self.canvas, *self._secondary.values()))
        return min((moment for moment in since if moment is not None), default=None)

    @property
    def awaiting_exact(self) -> bool:
        """Whether what was asked for is in sight as a preview, and the exact picture is still to be asked for."""
        request, result = self.canvas.request, self.canvas.result
        return result is not None and result.preview and request is not None and request.id == result.id

    @property
    def transport(self) -> str:
        """Which way the picture in sight has come, in words."""
        result = self.canvas.result
        if self.interop.device is not None and result is not None and result.place is None:
            return "through main memory"  # computed elsewhere than on the GPU that is shared
        return self.interop.transport

    @property
    def is_outdated(self) -> bool:
        """Whether the picture in sight has not been what was asked for, for longer than a moment."""
        since, result = self.canvas.waiting_since, self.canvas.result
        if self.canvas.problem is not None:
            return True
        if result is not None and result.preview and self.canvas.request and self.canvas.request.scene == result.scene:
            return False  # only finer
        usual = 3e-3 * result.timing.get("total", 0.0) if result else 0.0
        return since is not None and time.perf_counter() - since > max(OUTDATED_AFTER, usual)

    def request_canvas(self, scene: Scene, moving: bool = False) -> None:
        """Ask for the canvas; does nothing where this very scene was asked for already.

        `moving`: a hand is at it, and a preview will do; the exact picture is asked for when it has rested.
        """
        request = self.canvas.request
        if (
            self.awaiting_exact
            and request is not None
            and request.scene == scene
            and time.perf_counter() - self.canvas.requested_at > EXACT_AFTER
        ):
            self.canvas.request = None
            moving = False
        self._request(CANVAS, self.canvas, scene, moving)

    def request_view(self, name: str, scene: Scene) -> SecondaryView | None:
        """A second picture beside the canvas, None until it is ready; forgotten when no frame asks for it."""
        shown = self._secondary.setdefault(name, ViewState())
        shown.requested_in_frame = True
        self._request(name, shown, scene)
        texture, result = shown.texture, shown.result
        if texture is None or result is None:
            return None
        return SecondaryView(texture.name, texture.width, texture.height, result)

    def reload(self, path: str) -> None:
        """Read the network of this path again and show what it makes now."""
        for shown in (self.canvas, *self._secondary.values()):
            if shown.request is not None and shown.request.scene.model.path == path:
                shown.waiting_since = time.perf_counter()
        self._client.reload(path)

    def forget_unused(self) -> None:
        """Free the views that this frame did not ask for."""
        for name in [name for name, shown in self._secondary.items() if not shown.requested_in_frame]:
            self._secondary.pop(name).close()
            self._client.forget(name)
        for shown in self._secondary.values():
            shown.requested_in_frame = False

    def poll(self) -> bool:
        """Take what has come; whether anything changed."""
        answers = self._client.poll()
        self.answer_count += len(answers)
        if any(isinstance(answer, RendererLost) for answer in answers):
            self.interop.forget()  # before what the next renderer offers is tried
        if (decision := self.interop.try_offer(self._client.offer)) is not None:
            self._client.share(*decision)
        for answer in answers:
            if isinstance(answer, RendererLost):
                self._on_problem(answer)  # the client itself asks the next renderer for what is still due
                self.progress = None
                continue
            shown = self.canvas if answer.view == CANVAS else self._secondary.get(answer.view)
            if shown is None or shown.request is None:
                continue
            if isinstance(answer, RenderProgress):
                if shown is self.canvas:  # thumbnails load quietly
                    self.progress = answer
            elif isinstance(answer, RenderFailure):
                self._fail(shown, answer)
            else:
                self._accept(shown, answer)
        return bool(answers)

    def close(self) -> None:
        """Free the textures; the client is not ours."""
        for shown in (self.canvas, *self._secondary.values()):
            shown.close()
        if (bus := self.interop.close()) is not None:
            self._client.share(bus, False)
        self.canvas, self._secondary = ViewState(), {}

    def _request(self, name: str, shown: ViewState, scene: Scene, moving: bool = False) -> None:
        if shown.request is not None and shown.request.scene == scene:
            return
        shown.request, shown.requested_at = RenderRequest(name, next(_ids), scene, moving), time.perf_counter()
        if shown.waiting_since is None:
            shown.waiting_since = shown.requested_at
        self._client.submit(shown.request, first=shown is self.canvas)

    def _accept(self, shown: ViewState, result: RenderResult) -> None:
        if shown.result is not None and result.id < shown.result.id:
            return
        began = time.perf_counter()
        shown.texture = shown.texture or StreamTexture()
        if result.place is None:
            shown.texture.upload(result.frame)
        elif not self._copy_from_gpu(shown.texture, result.place):
            return
        done = time.perf_counter()
        shown.result, shown.problem = result, None
        shown.is_opaque = result.place is None and bool(result.frame[..., 3].min() == 255)
        self._mark_answered(shown, result.id, done)
        if shown is self.canvas:
            self.model = result.model
            self.progress = None
            newest = shown.waiting_since is None
            latency = 1e3 * (done - shown.requested_at) if newest else self.meter.latency
            self.meter.note({**result.timing, "upload": 1e3 * (done - began)}, latency, done)

    def _copy_from_gpu(self, texture: StreamTexture, place: GpuPlace) -> bool:
        """Whether that worked; where not, pictures come through main memory from now on, this one too."""
        device = self.interop.device
        try:
            if device is not None:
                texture.copy_from_gpu(place, device)
                return True
        except Exception as error:  # noqa: BLE001 - whatever it was, there is the other way
            self._client.share(place.bus, False)
            self.interop.fail(error)
        self._client.again()
        return False

    def _fail(self, shown: ViewState, failure: RenderFailure) -> None:
        self._mark_answered(shown, failure.id, time.perf_counter())
        if shown.waiting_since is None:  # an older request's trouble is no news
            shown.problem = failure
        if shown is self.canvas:
            self.progress = None
            self._on_problem(failure)

    def _mark_answered(self, shown: ViewState, answered: int, at: float) -> None:
        """Note that a request is answered: nothing is waited for, or only since now."""
        newest = shown.request is not None and answered >= shown.request.id
        shown.waiting_since = None if newest else at
