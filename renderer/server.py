"""The renderer: takes the newest request of each view, answers with a picture or a sentence, and never just stops.

Run by renderer/client.py as `python -m renderer.server`. What it is told: ("render", request, first), ("free", view,
slot), ("free block", bus, number), ("share", bus, wanted), ("reload", path), ("close",). What it says: ("ready",),
("begin", view, id), ("answer", answer, place), ("offer", offer), and ("fatal", sentence) before it gives up. A thread
listens all the time, also in the middle of a picture: when the window is gone, so is the renderer.
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

SHUTDOWN_GRACE_SECONDS = (
    0.3  # seconds in which work under way may tidy up (a half-made download) once the window is gone
)
STARVATION_SECONDS = 0.25  # seconds that a view waits, at least, before it goes ahead of the one under the hand
MAX_RESTART_FRACTION = 0.3  # of a picture's time may be lost to starting over, until the next picture is finished
NEARLY_DONE_SECONDS = 0.02  # seconds: a picture that is as good as done is finished
PROGRESS_INTERVAL = 0.1  # seconds between two answers that say how far a download is

Send = Callable[[tuple[Any, ...]], None]


class Cancelled(Exception):
    """A newer request, or the end, has made the picture under way needless."""


class RequestQueue:
    """What the window wants now: of each view the newest request."""

    def __init__(self, transport: FrameTransport) -> None:
        self.closing = False
        self.active_view = "canvas"  # the view under the hand
        self.last_render_seconds = 0.0  # seconds that its last picture took
        self._transport = transport
        self._waiting: dict[str, RenderRequest] = {}
        self._waiting_since: dict[str, float] = {}  # when a view began to wait; a newer request waits no less
        self._reload: list[str] = []
        self._changed = threading.Condition()

    def put(self, message: tuple[Any, ...]) -> None:
        """Take in one message of the window."""
        with self._changed:
            match message:
                case ("render", request, first):
                    self._waiting[request.view] = request
                    self._waiting_since.setdefault(request.view, time.monotonic())
                    if first:
                        self.active_view = request.view
                case ("free", view, slot):
                    self._transport.release(view, slot)
                case ("free block", bus, number):
                    self._transport.release_block(bus, number)
                case ("share", bus, wanted):
                    self._transport.set_gpu_sharing(bus, wanted)
                case ("reload", path):
                    self._reload.append(path)
                case ("close",):
                    self.closing = True
                case _:
                    raise ValueError(f"The renderer was told {message!r:.100}, which it does not know.")
            self._changed.notify_all()

    def put_back(self, request: RenderRequest, since: float) -> None:
        """A request that has to wait after all, unless a newer one has come."""
        with self._changed:
            if self._waiting.setdefault(request.view, request) is request:
                self._waiting_since[request.view] = since

    def next(self) -> tuple[RenderRequest, bool] | None:
        """Wait for the request to serve next, and whether its view has waited too long; None at the end."""
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
        """The paths that are to be read anew, once."""
        with self._changed:
            paths, self._reload = self._reload, []
        return paths

    def newer_request(self, view: str) -> RenderRequest | None:
        """The request that waits for a view whose picture is under way."""
        return self._waiting.get(view)

    def active_view_waiting(self, view: str) -> bool:
        """Whether the view under the hand waits while another one's picture is under way."""
        return view != self.active_view and self.active_view in self._waiting

    def _is_starved(self, view: str) -> bool:
        """Whether a view has waited so long that it goes ahead of the one under the hand."""
        return time.monotonic() - self._waiting_since[view] > max(STARVATION_SECONDS, 3 * self.last_render_seconds)

    def _choose_view(self) -> str | None:
        ready = [view for view in self._waiting if self._transport.has_free_slot(view)]
        late = [view for view in ready if view != self.active_view and self._is_starved(view)]
        if self.active_view in ready and not late:
            return self.active_view
        return min(late or ready, key=self._waiting_since.__getitem__, default=None)


class PreemptionPolicy:
    """Decides at each layer whether the picture under way is still worth finishing.

    Starting over at each of a stream of requests would never show anything, so between two finished pictures of a view
    no more than WASTE of a picture's time is given up. A request for another network or device always wins.
    """

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self._lost_seconds: dict[str, float] = {}
        self._request: RenderRequest | None = None
        self._began = 0.0
        self._must_finish = False

    def start(self, request: RenderRequest, must_finish: bool) -> None:
        """A picture begins; `must`: its view has waited long enough and cannot be put off again."""
        self._request, self._began, self._must_finish = request, time.monotonic(), must_finish

    def finish(self, view: str) -> None:
        self._lost_seconds.pop(view, None)

    def __call__(self, remaining: float | None = None) -> None:
        """Raises Cancelled where going on is pointless; `remaining` seconds of work are left, None: unknown."""
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
        elapsed = time.monotonic() - self._began
        if newer is not None and newer.moving and not request.moving:
            raise Cancelled  # previews come soon enough
        if newer is not None:
            lost = self._lost_seconds.get(request.view, 0.0) + elapsed
            if lost <= MAX_RESTART_FRACTION * (elapsed + remaining):
                self._lost_seconds[request.view] = lost
                raise Cancelled
        elif not self._must_finish and self._queue.active_view_waiting(request.view):
            self._queue.put_back(request, self._began)
            raise Cancelled


def serve(queue: RequestQueue, send: Send, transport: FrameTransport, threads: int | None = None) -> None:
    """Answer requests until the inbox closes."""
    engine = _create_engine(threads)
    send(("ready",))
    try:
        _serve_loop(engine, queue, send, transport)
    finally:
        engine.close()


def _serve_loop(engine: Engine, queue: RequestQueue, send: Send, transport: FrameTransport) -> None:
    policy = PreemptionPolicy(queue)
    while (work := queue.next()) is not None:
        request, starved = work
        for path in queue.take_reloads():
            engine.reload(path)
        began = time.monotonic()
        send(("begin", request.view, request.id))
        policy.start(request, must_finish=starved)
        answer = _render(engine, request, policy, send, transport)
        if answer is None:
            continue
        policy.finish(request.view)
        if request.view == queue.active_view:
            queue.last_render_seconds = time.monotonic() - began
        send(("answer", *answer))


def _render(
    engine: Engine, request: RenderRequest, policy: PreemptionPolicy, send: Send, transport: FrameTransport
) -> tuple[Answer, FrameHandle | GpuFrameHandle | None] | None:
    """The answer and where its picture lies; None where the request was cancelled."""
    last_progress = 0.0

    def on_progress(what: str, fraction: float | None) -> None:
        nonlocal last_progress
        policy()
        if time.monotonic() - last_progress > PROGRESS_INTERVAL:
            last_progress = time.monotonic()
            send(("answer", RenderProgress(request.view, request.id, what, fraction), None))

    for last_try in (False, True):
        try:
            output = engine.render(
                request.scene, request.view, on_layer=policy, on_progress=on_progress, moving=request.moving
            )
            return output.to_result(request), transport.publish(request.view, output)
        except Cancelled:
            return None
        except Exception as error:  # noqa: BLE001 - whatever went wrong is an answer
            if is_fatal(error):
                raise
            if last_try or not is_out_of_memory(error):
                return make_failure(request, error), None
        engine.clear_caches()  # memory ran out: once more with nothing kept
    return None


def _create_engine(threads: int | None) -> Engine:
    """The engine, once torch has arrived; the channel is being listened to meanwhile."""
    import torch

    from ops.image_allocator import disable_malloc_trim
    from renderer.engine import Engine

    disable_malloc_trim()
    if threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads or _default_threads())
    torch.backends.cudnn.allow_tf32 = False  # TF32 convolutions are off by 1e-3, which shows in spectra
    return Engine()


def _default_threads() -> int:
    """All cores up to four; of more, one is left to the window."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return cores if cores <= 4 else cores - 1


def open_channel(handle: str) -> Any:
    """The connection that the window opened for this process."""
    if sys.platform == "win32":
        return connection.PipeConnection(int(handle))
    return connection.Connection(int(handle))


def _receive_loop(channel: Any, queue: RequestQueue) -> None:
    """Take in what the window says until it closes, or dies; then this process ends too, whatever it is doing."""
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the window's business
    faulthandler.enable()
    channel = open_channel(options.channel)
    transport = FrameTransport(FrameWriter(Arena(options.memory)), lambda offer: channel.send(("offer", offer)))
    queue = RequestQueue(transport)
    threading.Thread(target=_receive_loop, args=(channel, queue), name="listen", daemon=True).start()
    try:
        serve(queue, channel.send, transport, options.threads)
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the window is gone
    except Exception as error:  # noqa: BLE001 - the window is told why
        traceback.print_exc()
        channel.send(("fatal", f"{type(error).__name__}: {error}"))
        os._exit(1)
    os._exit(0)  # not by way of torch's own tidying up, which takes its time


if __name__ == "__main__":
    main(sys.argv[1:])
