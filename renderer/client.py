"""The window's end of the renderer: submit requests, poll for answers, never block.

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

MAX_CRASHES = 3  # crashes on one request, or during start-up, before it is no longer retried
AnyFrameHandle = FrameHandle | GpuFrameHandle
SHUTDOWN_SECONDS = 0.5  # before a renderer that was asked to close is killed


class Client:
    """Common interface of both renderers. To be used from one thread; no call waits for the renderer."""

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        """`wake` is called, on another thread, whenever there is something to poll."""
        self._wake = wake
        self._condition = threading.Condition()
        self._latest: dict[str, RenderRequest] = {}  # newest request by view
        self._answered: dict[str, int] = {}  # newest id by view that has an image or a failure
        self._incoming: deque[tuple[Answer, AnyFrameHandle | None, Any]] = deque()
        self._held_frames: dict[str, tuple[AnyFrameHandle, Any]] = {}
        self._active_view = "canvas"
        self._closing = False
        self.offer: GpuOffer | None = None  # whether this renderer's images can stay on the GPU

    def submit(self, request: RenderRequest, *, active: bool = False) -> None:
        """Request an image; it replaces earlier requests of its view. `active`: the user is editing this view."""
        with self._condition:
            self._latest[request.view] = request
            if active:
                self._active_view = request.view
            self._send_request(request)
            self._condition.notify_all()

    def reload(self, path: str) -> None:
        """Read the network at this path again and re-render the views that show it."""
        with self._condition:
            self._send_command(("reload", path))
            for request in self._latest.values():
                if request.scene.model.path == path:
                    self._mark_unanswered(request)
                    self._send_request(request)
            self._condition.notify_all()

    def set_gpu_sharing(self, bus: str, wanted: bool) -> None:
        """Let images stay on the GPU with this PCI bus id, or send them through main memory again."""
        with self._condition:
            self._send_command(("share", bus, wanted))
            self._condition.notify_all()

    def resend_all(self) -> None:
        """Request the newest image of every view again."""
        with self._condition:
            for request in self._latest.values():
                self._mark_unanswered(request)
                self._send_request(request)
            self._condition.notify_all()

    def poll(self) -> list[Answer]:
        """Return the new answers: the newest of each view, and none older than what was returned before.

        The frame of a result stays valid until a newer result of its view is polled.
        """
        with self._condition:
            incoming, self._incoming = self._incoming, deque()
        lost: list[Answer] = []
        newest: dict[str, tuple[Answer, AnyFrameHandle | None, Any]] = {}
        progress: dict[str, RenderProgress] = {}
        for item in incoming:
            answer = item[0]
            if isinstance(answer, RendererLost):
                lost.append(answer)
                # Frames in the memory of its GPU have gone with it.
                newest = {view: entry for view, entry in newest.items() if not isinstance(entry[1], GpuFrameHandle)}
                for request in self._latest.values():  # the next renderer renders it again
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
        """Forget a closed view: release its frame, and do not render it again after a crash."""
        with self._condition:
            self._latest.pop(view, None)
        frame = self._held_frames.pop(view, None)
        if frame is not None:
            self._release(*frame)

    def is_busy(self, view: str) -> bool:
        """Whether the newest request of a view is still unanswered."""
        request = self._latest.get(view)
        return request is not None and request.id > self._answered.get(view, request.id - 1)

    @property
    def is_alive(self) -> bool:
        """Whether the renderer is running; requests submitted meanwhile are served after its restart."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        """Process id of the renderer; None while it is not running."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the renderer within a second, whatever it is doing."""
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

    def _release(self, handle: AnyFrameHandle, source: Any) -> None:
        raise NotImplementedError

    def _mark_unanswered(self, request: RenderRequest) -> None:
        previous_id = request.id - 1
        self._answered[request.view] = min(self._answered.get(request.view, previous_id), previous_id)

    def _on_answer(self, answer: Answer, handle: AnyFrameHandle | None = None, source: Any = None) -> None:
        with self._condition:
            self._incoming.append((answer, handle, source))
        if self._wake is not None:
            self._wake()

    def _on_offer(self, offer: GpuOffer) -> None:
        self.offer = offer
        if self._wake is not None:
            self._wake()

    def _deliver(self, answer: Answer, handle: AnyFrameHandle | None, source: Any) -> Answer:
        if handle is not None:
            previous = self._held_frames.get(handle.view)
            self._held_frames[handle.view] = (handle, source)
            if previous is not None:
                self._release(*previous)
        return answer

    def _drop(self, item: tuple[Answer, AnyFrameHandle | None, Any] | None) -> None:
        if item is not None and item[1] is not None:
            self._release(item[1], item[2])


class SubprocessRenderer(Client):
    """Renderer in a subprocess: a crash costs a second, and rendering never blocks the window."""

    def __init__(self, threads: int | None = None, wake: Callable[[], None] | None = None) -> None:
        """`threads`: number of compute threads; by default, nearly all cores."""
        super().__init__(wake)
        self._threads = threads
        self._renderer: RendererProcess | None = None
        self._requests: dict[str, RenderRequest] = {}  # to be sent; newest by view
        self._commands: deque[tuple[Any, ...]] = deque()  # to be sent, all of them
        self._rendering: tuple[str, int] | None = None
        self._crashes: dict[tuple[str, int], int] = {}
        self._failed_starts = 0
        self._ready = False
        self._supervisor = threading.Thread(target=self._supervise, name="renderer supervisor", daemon=True)
        self._sender = threading.Thread(target=self._send_loop, name="renderer sender", daemon=True)
        self._supervisor.start()
        self._sender.start()

    @property
    def is_alive(self) -> bool:
        renderer = self._renderer
        return renderer is not None and renderer.process.poll() is None

    @property
    def pid(self) -> int | None:
        renderer = self._renderer
        return renderer.process.pid if renderer is not None else None

    def restart(self) -> None:
        """Kill the renderer, for example because it hangs; a new one is started."""
        renderer = self._renderer
        if renderer is not None:
            renderer.process.kill()

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

    def _release(self, handle: AnyFrameHandle, source: Any) -> None:
        with self._condition:
            if self._renderer is not None and source is self._renderer:
                self._commands.append(release_message(handle))
                self._condition.notify_all()

    def _supervise(self) -> None:
        """Start the renderer, receive its messages, and restart it when it exits."""
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
        """Handle the renderer's messages until it exits; return the reason if it sent one."""
        reason = ""
        while True:
            try:
                message = renderer.channel.recv()
            except (EOFError, OSError, pickle.UnpicklingError):  # the last message may be incomplete
                return reason
            match message:
                case ("answer", answer, handle):
                    if not isinstance(answer, RenderProgress):
                        self._rendering = None
                        self._crashes.pop((answer.view, answer.id), None)
                    self._on_answer(with_frame(answer, handle, renderer.reader.array), handle, renderer)
                case ("offer", offer):
                    self._on_offer(offer)
                case ("begin", view, request_id):
                    self._rendering = (view, request_id)
                case ("ready",):
                    self._failed_starts = 0
                    self._ready = True
                case ("fatal", reason):
                    reason = f"The renderer ended ({reason})."

    def _on_exit(self, reason: str) -> None:
        """Handle the renderer's exit: notify the window and resubmit the latest request of each view.

        A request that has crashed it MAX_CRASHES times fails instead; so do all if it fails to start as often.
        """
        culprit, self._rendering = self._rendering, None
        self.offer = None
        started, self._ready = self._ready, False
        given_up: list[RenderRequest] = []
        with self._condition:
            self._commands = deque(command for command in self._commands if command[0] == "close")
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
            when = "on this picture" if self._failed_starts < MAX_CRASHES else "while it started"
            message = (
                f"{reason.rstrip('.')}; it has now ended {MAX_CRASHES} times {when}, so it is tried again only when "
                "something changes: undo the last change, or choose another network or device."
            )
            self._on_answer(RenderFailure(request.view, request.id, request.scene, message, reason))

    def _send_loop(self) -> None:
        """Send requests and commands; this thread blocks on the pipe, so that the window does not."""
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
            except OSError:  # it has exited; `_on_exit` resubmits the requests
                time.sleep(0.01)


def with_frame(answer: Answer, handle: AnyFrameHandle | None, map_frame: Callable[[FrameHandle], np.ndarray]) -> Answer:
    """Return the answer with its frame mapped, or with the GPU handle of its frame."""
    if not isinstance(answer, RenderResult) or handle is None:
        return answer
    if isinstance(handle, GpuFrameHandle):
        return replace(answer, gpu_frame=handle)
    return replace(answer, frame=map_frame(handle))


def release_message(handle: AnyFrameHandle) -> tuple[Any, ...]:
    """Return the message by which the window releases a frame."""
    if isinstance(handle, GpuFrameHandle):
        return ("free block", handle.bus, handle.block)
    return ("free", handle.view, handle.slot)
