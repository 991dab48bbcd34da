"""The window's views: requests images from the renderer when scenes change and holds the results in textures."""

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
    GpuFrameHandle,
    GpuOffer,
    ModelInfo,
    RendererLost,
    RenderFailure,
    RenderProgress,
    RenderRequest,
    RenderResult,
)
from session import Scene

CANVAS = "canvas"
HISTORY = 240  # images whose timing is plotted
EXACT_AFTER = 0.15  # seconds without a change after which a preview is replaced by the exact image
OUTDATED_AFTER = 0.8  # seconds without a new image after which the old one is dimmed, at least
_ids = itertools.count(1)  # unique in the process, since a renderer may serve several windows one after the other


class Client(Protocol):
    """The renderer's client as the window uses it; no method blocks."""

    @property
    def offer(self) -> GpuOffer | None: ...
    def submit(self, request: RenderRequest, *, active: bool = False) -> None: ...
    def poll(self) -> list[Answer]: ...
    def reload(self, path: str) -> None: ...
    def remove_view(self, view: str) -> None: ...
    def set_gpu_sharing(self, bus: str, wanted: bool) -> None: ...
    def resend_all(self) -> None: ...
    def close(self) -> None: ...


@dataclass
class ViewState:
    """One view: the newest request, the newest answer, and the texture that holds its image."""

    request: RenderRequest | None = None
    requested_at: float = 0.0
    waiting_since: float | None = None  # None: the newest request is answered
    texture: StreamTexture | None = None
    result: RenderResult | None = None
    is_opaque: bool = False  # no pixel is transparent
    problem: RenderFailure | None = None
    requested_in_frame: bool = True

    @property
    def pixels(self) -> np.ndarray:
        """The image, uint8 [H, W, 4]; there must be one. Needs the OpenGL context."""
        assert self.result is not None and self.texture is not None
        return self.result.frame.copy() if self.result.gpu_frame is None else self.texture.read()

    def close(self) -> None:
        if self.texture is not None:
            self.texture.close()


@dataclass
class RateMeter:
    """Image rate, stage timings and latency."""

    timings: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=120))
    latency: float = 0.0

    def record(self, timing: dict[str, float], latency: float, now: float) -> None:
        self.timings.append(timing)
        self.arrivals.append(now)
        self.latency = latency

    def stats(self, frames_per_second: float, transport: str) -> PerformanceStats:
        names = dict.fromkeys(name for timing in self.timings for name in timing)
        stages = {name: np.array([timing.get(name, 0.0) for timing in self.timings]) for name in names}
        return PerformanceStats(stages, events_per_second(self.arrivals), frames_per_second, self.latency, transport)


def events_per_second(moments: deque[float], window: float = 2.0) -> float:
    """Events per second over the last `window` seconds, from their times by time.perf_counter."""
    now = time.perf_counter()
    recent = [moment for moment in moments if now - moment < window]
    return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 2 and recent[-1] > recent[0] else 0.0


class ViewManager:
    """All views of a window. Needs its OpenGL context.

    `on_problem(answer)` is called for a failed request and for a renderer that ended.
    """

    def __init__(self, client: Client, on_problem: Callable[[RenderFailure | RendererLost], None]) -> None:
        self.canvas = ViewState()
        self.model: ModelInfo | None = None
        self.progress: RenderProgress | None = None
        self.meter = RateMeter()
        self.interop = GpuInterop()
        self.answer_count = 0  # answers received so far
        self._client = client
        self._on_problem = on_problem
        self._secondary: dict[str, ViewState] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is due."""
        return self.waiting_since is not None

    @property
    def waiting_since(self) -> float | None:
        """When the oldest unanswered request was sent, by time.perf_counter; None: all are answered."""
        since = (view.waiting_since for view in (self.canvas, *self._secondary.values()))
        return min((moment for moment in since if moment is not None), default=None)

    @property
    def awaiting_exact(self) -> bool:
        """Whether the canvas shows a preview of the newest request, and the exact image is still to be requested."""
        request, result = self.canvas.request, self.canvas.result
        return result is not None and result.preview and request is not None and request.id == result.id

    @property
    def transport(self) -> str:
        """How the image on the canvas got here, in words."""
        result = self.canvas.result
        if self.interop.device is not None and result is not None and result.gpu_frame is None:
            return "through main memory"  # computed on another device than the shared GPU
        return self.interop.transport

    @property
    def is_outdated(self) -> bool:
        """Whether the canvas has shown another scene than the requested one for longer than OUTDATED_AFTER."""
        since, result = self.canvas.waiting_since, self.canvas.result
        if self.canvas.problem is not None:
            return True
        if result is not None and result.preview and self.canvas.request and self.canvas.request.scene == result.scene:
            return False  # only the exact version of it is awaited
        usual = 3e-3 * result.timing.get("total", 0.0) if result else 0.0
        return since is not None and time.perf_counter() - since > max(OUTDATED_AFTER, usual)

    def request_canvas(self, scene: Scene, moving: bool = False, probe: tuple[int, int] | None = None) -> None:
        """Request the canvas's image, unless this scene has been requested already.

        `probe` is a pixel whose values are wanted, as soon as no image is awaited.
        `moving`: a drag is in progress and a preview will do; EXACT_AFTER the last change the exact image follows.
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
        self._request(CANVAS, self.canvas, scene, moving, probe)

    def request_view(self, name: str, scene: Scene) -> SecondaryView | None:
        """Request an image besides the canvas; None until it is ready. A view that no frame requests is freed."""
        view = self._secondary.setdefault(name, ViewState())
        view.requested_in_frame = True
        self._request(name, view, scene)
        texture, result = view.texture, view.result
        if texture is None or result is None:
            return None
        return SecondaryView(texture.name, texture.width, texture.height, result)

    def reload(self, path: str) -> None:
        """Read the network of a path again and render its views anew."""
        for view in (self.canvas, *self._secondary.values()):
            if view.request is not None and view.request.scene.model.path == path:
                view.waiting_since = time.perf_counter()
        self._client.reload(path)

    def forget_unused(self) -> None:
        """Free the views that this frame did not request."""
        for name in [name for name, view in self._secondary.items() if not view.requested_in_frame]:
            self._secondary.pop(name).close()
            self._client.remove_view(name)
        for view in self._secondary.values():
            view.requested_in_frame = False

    def poll(self) -> bool:
        """Receive the renderer's answers; return whether there were any."""
        answers = self._client.poll()
        self.answer_count += len(answers)
        if any(isinstance(answer, RendererLost) for answer in answers):
            self.interop.forget()  # before the next renderer's offer is tested
        if (decision := self.interop.try_offer(self._client.offer)) is not None:
            self._client.set_gpu_sharing(*decision)
        for answer in answers:
            if isinstance(answer, RendererLost):
                self._on_problem(answer)  # the client resubmits the unanswered requests to the next renderer
                self.progress = None
                continue
            view = self.canvas if answer.view == CANVAS else self._secondary.get(answer.view)
            if view is None or view.request is None:
                continue
            if isinstance(answer, RenderProgress):
                if view is self.canvas:  # loading for thumbnails is not shown
                    self.progress = answer
            elif isinstance(answer, RenderFailure):
                self._fail(view, answer)
            else:
                self._accept(view, answer)
        return bool(answers)

    def close(self) -> None:
        """Free the textures; the client stays open."""
        for view in (self.canvas, *self._secondary.values()):
            view.close()
        if (bus := self.interop.close()) is not None:
            self._client.set_gpu_sharing(bus, False)
        self.canvas, self._secondary = ViewState(), {}

    def _request(
        self, name: str, view: ViewState, scene: Scene, moving: bool = False, probe: tuple[int, int] | None = None
    ) -> None:
        if view.request is not None and view.request.scene == scene:
            settled = view.waiting_since is None and view.problem is None and not self.awaiting_exact
            if probe is None or probe == view.request.probe or not settled:
                return
        view.request, view.requested_at = RenderRequest(name, next(_ids), scene, moving, probe), time.perf_counter()
        if view.waiting_since is None:
            view.waiting_since = view.requested_at
        self._client.submit(view.request, active=view is self.canvas)

    def _accept(self, view: ViewState, result: RenderResult) -> None:
        if view.result is not None and result.id < view.result.id:
            return
        began = time.perf_counter()
        view.texture = view.texture or StreamTexture()
        if result.gpu_frame is None:
            view.texture.upload(result.frame)
        elif not self._copy_from_gpu(view.texture, result.gpu_frame):
            return
        done = time.perf_counter()
        # The image of a probe is the one that is shown already: it counts neither as an image nor as time.
        is_probe = view.result is not None and not result.resumed_at and "probe" in result.readings
        view.result, view.problem = result, None
        view.is_opaque = result.gpu_frame is None and bool(result.frame[..., 3].min() == 255)
        self._mark_answered(view, result.id, done)
        if view is self.canvas:
            self.model = result.model
            self.progress = None
            newest = view.waiting_since is None
            latency = 1e3 * (done - view.requested_at) if newest else self.meter.latency
            if not is_probe:
                self.meter.record({**result.timing, "upload": 1e3 * (done - began)}, latency, done)

    def _copy_from_gpu(self, texture: StreamTexture, place: GpuFrameHandle) -> bool:
        """Return whether the copy worked; if not, images come through main memory from now on, this one too."""
        device = self.interop.device
        try:
            if device is not None:
                texture.copy_from_gpu(place, device)
                return True
        except Exception as error:  # noqa: BLE001 - after any error images go through main memory
            self._client.set_gpu_sharing(place.bus, False)
            self.interop.fail(error)
        self._client.resend_all()
        return False

    def _fail(self, view: ViewState, failure: RenderFailure) -> None:
        self._mark_answered(view, failure.id, time.perf_counter())
        if view.waiting_since is None:  # the failure of an outdated request does not matter
            view.problem = failure
        if view is self.canvas:
            self.progress = None
            self._on_problem(failure)

    def _mark_answered(self, view: ViewState, answered: int, now: float) -> None:
        """Note that a request is answered."""
        newest = view.request is not None and answered >= view.request.id
        view.waiting_since = None if newest else now
