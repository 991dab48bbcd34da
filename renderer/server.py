"""The renderer's process: renders the newest request of each view and answers with an image or a failure.

Started by renderer/renderer_process.py as `python -m renderer.server`.

Messages it receives: ("render", request, active), ("free", view, slot), ("free block", bus, number),
("share", bus, wanted), ("reload", path), ("close",). Messages it sends: ("ready",), ("begin", view, id),
("answer", answer, handle), ("offer", offer), and ("fatal", reason) before it exits on an error.

A thread receives all the time, also during a render, so that the renderer exits as soon as the window does.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from renderer.errors import is_fatal, is_out_of_memory, make_failure
from renderer.messages import Answer, GpuFrameHandle, RenderProgress, RenderRequest
from renderer.transport.frame_transport import FrameTransport
from renderer.transport.frames import Arena, FrameHandle, FrameWriter

if TYPE_CHECKING:
    from renderer.engine import Engine

SHUTDOWN_GRACE_SECONDS = 0.3  # for work under way, such as a download, to clean up after the window has exited
STARVATION_SECONDS = 0.25  # minimum wait before a view takes precedence over the active one
MAX_RESTART_FRACTION = 0.3  # of a render's time that may be lost to restarts per finished image
NEARLY_DONE_SECONDS = 0.02  # a render with less time left is not cancelled
PROGRESS_INTERVAL = 0.1  # seconds between two progress answers

Send = Callable[[tuple[Any, ...]], None]


class Cancelled(Exception):
    """The current render was superseded by a newer request or by shutdown."""


class RequestQueue:
    """Pending requests, the newest of each view, and the other messages of the window."""

    def __init__(self, transport: FrameTransport) -> None:
        self.closing = False
        self.active_view = "canvas"  # the view that the user is editing
        self.last_render_seconds = 0.0  # duration of its last render
        self._transport = transport
        self._waiting: dict[str, RenderRequest] = {}
        self._waiting_since: dict[str, float] = {}  # start of a view's wait; a newer request keeps it
        self._reload_paths: list[str] = []
        self._changed = threading.Condition()

    def put(self, message: tuple[Any, ...]) -> None:
        """Handle one message of the window. Raises ValueError for an unknown one."""
        with self._changed:
            match message:
                case ("render", request, active):
                    self._waiting[request.view] = request
                    self._waiting_since.setdefault(request.view, time.monotonic())
                    if active:
                        self.active_view = request.view
                case ("free", view, slot):
                    self._transport.release(view, slot)
                case ("free block", bus, number):
                    self._transport.release_block(bus, number)
                case ("share", bus, wanted):
                    self._transport.set_gpu_sharing(bus, wanted)
                case ("reload", path):
                    self._reload_paths.append(path)
                case ("close",):
                    self.closing = True
                case _:
                    raise ValueError(f"The renderer was told {message!r:.100}, which it does not know.")
            self._changed.notify_all()

    def put_back(self, request: RenderRequest, since: float) -> None:
        """Requeue a preempted request, unless a newer one has arrived."""
        with self._changed:
            if self._waiting.setdefault(request.view, request) is request:
                self._waiting_since[request.view] = since

    def next(self) -> tuple[RenderRequest, bool] | None:
        """Wait for the next request; return it and whether its view was starved. None after close."""
        with self._changed:
            while not self.closing:
                view = self._choose_view()
                if view is not None:
                    starved = self._is_starved(view)
                    del self._waiting_since[view]
                    return self._waiting.pop(view), starved
                self._changed.wait()
        return None

    def take_reloads(self) -> list[str]:
        """Return and clear the paths of the networks to read again."""
        with self._changed:
            paths, self._reload_paths = self._reload_paths, []
        return paths

    def newer_request(self, view: str) -> RenderRequest | None:
        """The pending request of a view, if any."""
        return self._waiting.get(view)

    def active_view_waiting(self, view: str) -> bool:
        """Whether the active view waits while `view`, another one, is being rendered."""
        return view != self.active_view and self.active_view in self._waiting

    def _is_starved(self, view: str) -> bool:
        """Whether a view has waited long enough to take precedence over the active one."""
        return time.monotonic() - self._waiting_since[view] > max(STARVATION_SECONDS, 3 * self.last_render_seconds)

    def _choose_view(self) -> str | None:
        ready = [view for view in self._waiting if self._transport.has_free_slot(view)]
        starved = [view for view in ready if view != self.active_view and self._is_starved(view)]
        if self.active_view in ready and not starved:
            return self.active_view
        return min(starved or ready, key=self._waiting_since.__getitem__, default=None)


class PreemptionPolicy:
    """Preemption policy, consulted after every layer: cancel the current render or finish it.

    Restarting at every request of a fast stream would never show an image. So between two finished images of a view,
    at most MAX_RESTART_FRACTION of a render's time is given up. A request for another network or device always
    cancels.
    """

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self._lost_seconds: dict[str, float] = {}
        self._request: RenderRequest | None = None
        self._start_time = 0.0
        self._must_finish = False

    def start(self, request: RenderRequest, must_finish: bool) -> None:
        """Begin a render; with `must_finish`, the active view cannot preempt it (it was starved)."""
        self._request, self._start_time, self._must_finish = request, time.monotonic(), must_finish

    def finish(self, view: str) -> None:
        self._lost_seconds.pop(view, None)

    def __call__(self, remaining: float | None = None) -> None:
        """Raise Cancelled if the render should stop; `remaining`: estimated seconds of work left, None if unknown."""
        request = self._request
        assert request is not None
        if self._queue.closing:
            raise Cancelled
        newer = self._queue.newer_request(request.view)
        if newer is not None and (newer.scene.model, newer.scene.compute) != (
            request.scene.model,
            request.scene.compute,
        ):
            raise Cancelled
        if remaining is None or remaining < NEARLY_DONE_SECONDS:
            return
        elapsed = time.monotonic() - self._start_time
        if newer is not None and newer.moving and not request.moving:
            raise Cancelled  # a preview is quick
        if newer is not None:
            lost = self._lost_seconds.get(request.view, 0.0) + elapsed
            if lost <= MAX_RESTART_FRACTION * (elapsed + remaining):
                self._lost_seconds[request.view] = lost
                raise Cancelled
        elif not self._must_finish and self._queue.active_view_waiting(request.view):
            self._queue.put_back(request, self._start_time)
            raise Cancelled


def serve(queue: RequestQueue, send: Send, transport: FrameTransport, threads: int | None = None) -> None:
    """Answer requests until the queue is closed."""
    engine = _create_engine(threads)
    send(("ready",))
    try:
        _serve_loop(engine, queue, send, transport)
    finally:
        engine.close()


def _serve_loop(engine: Engine, queue: RequestQueue, send: Send, transport: FrameTransport) -> None:
    policy = PreemptionPolicy(queue)
    while (next_request := queue.next()) is not None:
        request, starved = next_request
        for path in queue.take_reloads():
            engine.reload(path)
        start_time = time.monotonic()
        send(("begin", request.view, request.id))
        policy.start(request, must_finish=starved)
        answer = _render(engine, request, policy, send, transport)
        if answer is None:
            continue
        policy.finish(request.view)
        if request.view == queue.active_view:
            queue.last_render_seconds = time.monotonic() - start_time
        send(("answer", *answer))


def _render(
    engine: Engine, request: RenderRequest, policy: PreemptionPolicy, send: Send, transport: FrameTransport
) -> tuple[Answer, FrameHandle | GpuFrameHandle | None] | None:
    """Render one request; return the answer and the handle of its frame, or None if it was cancelled."""
    last_progress = 0.0

    def on_progress(what: str, fraction: float | None) -> None:
        nonlocal last_progress
        policy()
        if time.monotonic() - last_progress > PROGRESS_INTERVAL:
            last_progress = time.monotonic()
            send(("answer", RenderProgress(request.view, request.id, what, fraction), None))

    for is_last_attempt in (False, True):
        try:
            output = engine.render(
                request.scene,
                request.view,
                on_layer=policy,
                on_progress=on_progress,
                moving=request.moving,
                probe=request.probe,
            )
            return output.to_result(request), transport.publish(request.view, output)
        except Cancelled:
            return None
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            if is_fatal(error):
                raise
            if is_last_attempt or not is_out_of_memory(error):
                return make_failure(request, error), None
        engine.clear_caches()  # out of memory: retry with empty caches
    return None


def _create_engine(threads: int | None) -> Engine:
    """Import torch and create the engine; messages are received meanwhile, on another thread."""
    import torch

    from ops.image_allocator import disable_malloc_trim
    from renderer.engine import Engine

    disable_malloc_trim()
    if threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads or _default_threads())
    torch.backends.cudnn.allow_tf32 = False  # TF32's error of 1e-3 is visible in spectra
    return Engine()


def _default_threads() -> int:
    """All cores up to four; with more, all but one, which is left to the window."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return cores if cores <= 4 else cores - 1


def open_channel(handle: str) -> Any:
    """Open the connection whose handle the window passed to this process."""
    if sys.platform == "win32":
        return connection.PipeConnection(int(handle))
    return connection.Connection(int(handle))


def _receive_loop(channel: Any, queue: RequestQueue) -> None:
    """Receive messages until the window closes or dies, then exit this process, whatever it is doing."""
    try:
        while not queue.closing:
            queue.put(channel.recv())
    except (EOFError, OSError):
        queue.put(("close",))
    time.sleep(SHUTDOWN_GRACE_SECONDS)
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Serve the window at the other end of the channel."""
    parser = argparse.ArgumentParser(prog="renderer.server")
    parser.add_argument("channel", help="descriptor of the connection")
    parser.add_argument("memory", help="handle of the pictures' memory")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the window handles Ctrl+C
    faulthandler.enable()
    channel = open_channel(options.channel)
    transport = FrameTransport(FrameWriter(Arena(options.memory)), lambda offer: channel.send(("offer", offer)))
    queue = RequestQueue(transport)
    threading.Thread(target=_receive_loop, args=(channel, queue), name="listen", daemon=True).start()
    try:
        serve(queue, channel.send, transport, options.threads)
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the window has exited
    except Exception as error:  # noqa: BLE001 - reported to the window
        traceback.print_exc()
        channel.send(("fatal", f"{type(error).__name__}: {error}"))
        os._exit(1)
    os._exit(0)  # skips torch's slow cleanup


if __name__ == "__main__":
    main(sys.argv[1:])
