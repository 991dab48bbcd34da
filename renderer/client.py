"""The window's end of the renderer: ask for pictures, fetch what is ready, never wait.

    client = SubprocessRenderer()
    client.submit(RenderRequest("canvas", 1, scene))
    for answer in client.poll(): ...
    client.close()

`SubprocessRenderer` renders in a subprocess, which is restarted whenever it dies, so the window's process never imports
torch. Commands and tests use `InProcessRenderer` (renderer/in_process.py), which renders on a thread.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np

from renderer.messages import (
    Answer,
    GpuFrameHandle,
    GpuOffer,
    RendererLost,
    RenderFailure,
    RenderProgress,
    RenderRequest,
    RenderResult,
)
from renderer.renderer_process import RendererProcess
from renderer.transport.frames import FrameHandle

MAX_CRASHES = 3  # times that the renderer may die on one request, or while it starts, before that is taken as the cause
AnyFrameHandle = FrameHandle | GpuFrameHandle
SHUTDOWN_SECONDS = 0.5  # seconds that the renderer has to end by itself


class Client:
    """What both kinds of client offer. Safe to use from one thread; no call waits for the renderer."""

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        """`wake` is called on another thread whenever there is something to poll."""
        self._wake = wake
        self._condition = threading.Condition()
        self._latest: dict[str, RenderRequest] = {}  # of each view the newest request
        self._answered: dict[str, int] = {}  # of each view the newest id that has its picture or sentence
        self._incoming: deque[tuple[Answer, AnyFrameHandle | None, Any]] = deque()
        self._shown: dict[str, tuple[AnyFrameHandle, Any]] = {}
        self._active_view = "canvas"
        self._closing = False
        self.offer: GpuOffer | None = None  # of the renderer that is there: whether its pictures can stay on the GPU

    def submit(self, request: RenderRequest, *, active: bool = False) -> None:
        """Ask for a picture; of the requests of a view the newest counts. `first`: this view is under the hand."""
        with self._condition:
            self._latest[request.view] = request
            if active:
                self._active_view = request.view
            self._send_request(request)
            self._condition.notify_all()

    def reload(self, path: str) -> None:
        """Read the network of this path again, and make the pictures anew that show it."""
        with self._condition:
            self._send_command(("reload", path))
            for request in self._latest.values():
                if request.scene.model.path == path:
                    self._mark_unanswered(request)
                    self._send_request(request)
            self._condition.notify_all()

    def set_gpu_sharing(self, bus: str, wanted: bool) -> None:
        """Have pictures stay on the GPU of this PCI address, or come through main memory (again)."""
        with self._condition:
            self._send_command(("share", bus, wanted))
            self._condition.notify_all()

    def resend_all(self) -> None:
        """Have the newest picture of each view sent anew."""
        with self._condition:
            for request in self._latest.values():
                self._mark_unanswered(request)
                self._send_request(request)
            self._condition.notify_all()

    def poll(self) -> list[Answer]:
        """What has come since the last call: of each view only the newest, and nothing older than what it has shown.

        The frame of a result stays valid until a newer one of its view is polled.
        """
        with self._condition:
            incoming, self._incoming = self._incoming, deque()
        lost: list[Answer] = []
        newest: dict[str, tuple[Answer, AnyFrameHandle | None, Any]] = {}
        progress: dict[str, RenderProgress] = {}
        for item in incoming:
            answer, place, source = item
            if isinstance(answer, RendererLost):
                lost.append(answer)
                newest = {
                    view: one for view, one in newest.items() if not isinstance(one[1], GpuFrameHandle)
                }  # gone with it
                for request in self._latest.values():  # the next renderer makes it again
                    if not self._has_given_up(request):
                        self._mark_unanswered(request)
            elif isinstance(answer, RenderProgress):
                progress[answer.view] = answer
            elif answer.id >= self._answered.get(answer.view, answer.id):
                self._drop(newest.get(answer.view))
                newest[answer.view] = item
                self._answered[answer.view] = answer.id
                progress.pop(answer.view, None)
            else:
                self._drop(item)
        news = [answer for answer in progress.values() if answer.id > self._answered.get(answer.view, -1)]
        return [*lost, *news, *(self._deliver(*item) for item in newest.values())]

    def remove_view(self, view: str) -> None:
        """The view is gone: its picture is not made again after a crash, and its memory is free for others."""
        with self._condition:
            self._latest.pop(view, None)
        shown = self._shown.pop(view, None)
        if shown is not None:
            self._release(*shown)

    def is_busy(self, view: str) -> bool:
        """Whether the newest request of a view is still to be answered."""
        request = self._latest.get(view)
        return request is not None and request.id > self._answered.get(view, request.id - 1)

    @property
    def is_alive(self) -> bool:
        """Whether the renderer is there; a request made meanwhile is served when it is back."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        """The renderer's process, None while there is none."""
        raise NotImplementedError

    def close(self) -> None:
        """End the renderer, whatever it is doing; within a second nothing of it is left."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send_request(self, request: RenderRequest) -> None:
        raise NotImplementedError

    def _has_given_up(self, request: RenderRequest) -> bool:
        return False

    def _send_command(self, message: tuple[Any, ...]) -> None:
        raise NotImplementedError

    def _release(self, place: AnyFrameHandle, source: Any) -> None:
        raise NotImplementedError

    def _mark_unanswered(self, request: RenderRequest) -> None:
        before = request.id - 1
        self._answered[request.view] = min(self._answered.get(request.view, before), before)

    def _on_answer(self, answer: Answer, place: AnyFrameHandle | None = None, source: Any = None) -> None:
        with self._condition:
            self._incoming.append((answer, place, source))
        if self._wake is not None:
            self._wake()

    def _on_offer(self, offer: GpuOffer) -> None:
        self.offer = offer
        if self._wake is not None:
            self._wake()

    def _deliver(self, answer: Answer, place: AnyFrameHandle | None, source: Any) -> Answer:
        if place is not None:
            before = self._shown.get(place.view)
            self._shown[place.view] = (place, source)
            if before is not None:
                self._release(*before)
        return answer

    def _drop(self, item: tuple[Answer, AnyFrameHandle | None, Any] | None) -> None:
        if item is not None and item[1] is not None:
            self._release(item[1], item[2])


class SubprocessRenderer(Client):
    """The renderer in a process of its own: its crash costs a second, its work does not slow the window."""

    def __init__(self, threads: int | None = None, wake: Callable[[], None] | None = None) -> None:
        """`threads`: how many the renderer computes with; by default nearly all cores."""
        super().__init__(wake)
        self._threads = threads
        self._renderer: RendererProcess | None = None
        self._requests: dict[str, RenderRequest] = {}  # still to be sent
        self._commands: deque[tuple[Any, ...]] = deque()  # still to be sent, none may be left out
        self._rendering: tuple[str, int] | None = None
        self._crashes: dict[tuple[str, int], int] = {}
        self._failed_starts = 0
        self._ready = False
        self._supervisor = threading.Thread(target=self._supervise, name="renderer's keeper", daemon=True)
        self._sender = threading.Thread(target=self._send_loop, name="renderer's teller", daemon=True)
        self._supervisor.start()
        self._sender.start()

    @property
    def is_alive(self) -> bool:
        running = self._renderer
        return running is not None and running.process.poll() is None

    @property
    def pid(self) -> int | None:
        running = self._renderer
        return running.process.pid if running is not None else None

    def restart(self) -> None:
        """End the renderer and start a new one, for one that hangs."""
        running = self._renderer
        if running is not None:
            running.process.kill()

    def close(self) -> None:
        with self._condition:
            if self._closing:
                return
            self._closing = True
            self._commands.append(("close",))
            self._condition.notify_all()
        self._supervisor.join(timeout=SHUTDOWN_SECONDS)
        self.restart()
        self._supervisor.join(timeout=5)
        self._sender.join(timeout=5)

    def _send_request(self, request: RenderRequest) -> None:
        self._crashes.pop((request.view, request.id), None)
        self._requests[request.view] = request

    def _has_given_up(self, request: RenderRequest) -> bool:
        return self._crashes.get((request.view, request.id), 0) > MAX_CRASHES

    def _send_command(self, message: tuple[Any, ...]) -> None:
        self._commands.append(message)

    def _release(self, place: AnyFrameHandle, source: Any) -> None:
        with self._condition:
            if self._renderer is not None and source is self._renderer:
                self._commands.append(release_message(place))
                self._condition.notify_all()

    def _supervise(self) -> None:
        """Start the renderer, listen to it, and start again when it is gone."""
        while True:
            with self._condition:
                while self._failed_starts >= MAX_CRASHES and not self._requests and not self._closing:
                    self._condition.wait()
                if self._closing:
                    return
            try:
                renderer = RendererProcess(self._threads)
            except OSError as error:
                self._on_exit(f"The renderer could not be started ({error.strerror}).")
                continue
            with self._condition:
                self._renderer = renderer
                self._condition.notify_all()
            reason = self._receive_loop(renderer)
            with self._condition:
                self._renderer = None
                self._condition.notify_all()
            exit_message = renderer.reap()
            if self._closing:
                return
            self._on_exit(reason or exit_message)

    def _receive_loop(self, renderer: RendererProcess) -> str:
        """Take in what the renderer says until it is gone; the reason, if it gave one."""
        reason = ""
        while True:
            try:
                message = renderer.channel.recv()
            except (EOFError, OSError, pickle.UnpicklingError):  # the last message may be torn
                return reason
            match message:
                case ("answer", answer, place):
                    if not isinstance(answer, RenderProgress):
                        self._rendering = None
                        self._crashes.pop((answer.view, answer.id), None)
                    self._on_answer(with_frame(answer, place, renderer.reader.array), place, renderer)
                case ("offer", offer):
                    self._on_offer(offer)
                case ("begin", view, number):
                    self._rendering = (view, number)
                case ("ready",):
                    self._failed_starts = 0
                    self._ready = True
                case ("fatal", reason):
                    reason = f"The renderer ended ({reason})."

    def _on_exit(self, reason: str) -> None:
        """The renderer is gone: say so, and ask the next one for the newest picture of each view.

        A request on which it died TRIES times gets a sentence instead; so do all when it cannot even start.
        """
        culprit, self._rendering = self._rendering, None
        self.offer = None
        started, self._ready = self._ready, False
        given_up: list[RenderRequest] = []
        with self._condition:
            self._commands = deque(order for order in self._commands if order[0] == "close")
            if culprit is not None:
                self._crashes[culprit] = self._crashes.get(culprit, 0) + 1
            if not started:
                self._failed_starts += 1
            for view, request in self._latest.items():
                if self._has_given_up(request):
                    continue
                if self._failed_starts >= MAX_CRASHES or self._crashes.get((view, request.id)) == MAX_CRASHES:
                    given_up.append(request)
                    self._requests.pop(view, None)
                    self._crashes[view, request.id] = MAX_CRASHES + 1
                else:
                    self._requests[view] = request
        self._on_answer(RendererLost(reason))
        for request in given_up:
            what = "on this picture" if self._failed_starts < MAX_CRASHES else "while it started"
            problem = (
                f"{reason.rstrip('.')}; it has now ended {MAX_CRASHES} times {what}, so it is tried again only when "
                "something changes: undo the last change, or choose another network or device."
            )
            self._on_answer(RenderFailure(request.view, request.id, request.scene, problem, reason))

    def _send_loop(self) -> None:
        """Send what is wanted; this thread waits for the renderer, so that the window need not."""
        while True:
            with self._condition:
                while not (self._renderer and (self._requests or self._commands)):
                    if self._closing and not self._renderer:
                        return
                    self._condition.wait(timeout=1.0 if self._closing else None)
                renderer = self._renderer
                commands, self._commands = self._commands, deque()
                requests = sorted(self._requests.values(), key=lambda request: request.view != self._active_view)
                self._requests = {}
                active_view = self._active_view
            try:
                for command in commands:
                    renderer.send(command)
                for request in requests:
                    renderer.send(("render", request, request.view == active_view))
            except OSError:  # it is gone, and what it was told is asked for again
                time.sleep(0.01)


def with_frame(answer: Answer, place: AnyFrameHandle | None, array: Callable[[FrameHandle], np.ndarray]) -> Answer:
    """An answer with its picture, or where that is on the GPU."""
    if not isinstance(answer, RenderResult) or place is None:
        return answer
    return (
        replace(answer, gpu_frame=place) if isinstance(place, GpuFrameHandle) else replace(answer, frame=array(place))
    )


def release_message(place: AnyFrameHandle) -> tuple[Any, ...]:
    """What tells the renderer that the window has done with a picture."""
    return (
        ("free block", place.bus, place.block)
        if isinstance(place, GpuFrameHandle)
        else ("free", place.view, place.slot)
    )
