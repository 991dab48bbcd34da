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

from renderer.errors import failure, is_fatal, is_memory
from renderer.messages import Answer, GpuPlace, RenderProgress, RenderRequest
from renderer.transport.frame_transport import Carrier
from renderer.transport.frames import Arena, FrameWriter, Place

if TYPE_CHECKING:
    from renderer.engine import Engine

GRACE = 0.3  # seconds in which work under way may tidy up (a half-made download) once the window is gone
PATIENCE = 0.25  # seconds that a view waits, at least, before it goes ahead of the one under the hand
WASTE = 0.3  # of a picture's time may be lost to starting over, until the next picture is finished
SOON = 0.02  # seconds: a picture that is as good as done is finished
NEWS_EVERY = 0.1  # seconds between two answers that say how far a download is

Send = Callable[[tuple[Any, ...]], None]


class Cancelled(Exception):
    """A newer request, or the end, has made the picture under way needless."""


class Inbox:
    """What the window wants now: of each view the newest request."""

    def __init__(self, carrier: Carrier) -> None:
        self.closing = False
        self.first = "canvas"  # the view under the hand
        self.turn = 0.0  # seconds that its last picture took
        self._carrier = carrier
        self._waiting: dict[str, RenderRequest] = {}
        self._since: dict[str, float] = {}  # when a view began to wait; a newer request waits no less
        self._reload: list[str] = []
        self._changed = threading.Condition()

    def put(self, message: tuple[Any, ...]) -> None:
        """Take in one message of the window."""
        with self._changed:
            match message:
                case ("render", request, first):
                    self._waiting[request.view] = request
                    self._since.setdefault(request.view, time.monotonic())
                    if first:
                        self.first = request.view
                case ("free", view, slot):
                    self._carrier.give_back(view, slot)
                case ("free block", bus, number):
                    self._carrier.give_back_block(bus, number)
                case ("share", bus, wanted):
                    self._carrier.share(bus, wanted)
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
                self._since[request.view] = since

    def next(self) -> tuple[RenderRequest, bool] | None:
        """Wait for the request to serve next, and whether its view has waited too long; None at the end."""
        with self._changed:
            while not self.closing:
                view = self._choose()
                if view is not None:
                    overdue = self._overdue(view)
                    del self._since[view]
                    return self._waiting.pop(view), overdue
                self._changed.wait()
        return None

    def reloads(self) -> list[str]:
        """The paths that are to be read anew, once."""
        with self._changed:
            paths, self._reload = self._reload, []
        return paths

    def newer(self, view: str) -> RenderRequest | None:
        """The request that waits for a view whose picture is under way."""
        return self._waiting.get(view)

    def pressed(self, view: str) -> bool:
        """Whether the view under the hand waits while another one's picture is under way."""
        return view != self.first and self.first in self._waiting

    def _overdue(self, view: str) -> bool:
        """Whether a view has waited so long that it goes ahead of the one under the hand."""
        return time.monotonic() - self._since[view] > max(PATIENCE, 3 * self.turn)

    def _choose(self) -> str | None:
        ready = [view for view in self._waiting if self._carrier.has_room(view)]
        late = [view for view in ready if view != self.first and self._overdue(view)]
        if self.first in ready and not late:
            return self.first
        return min(late or ready, key=self._since.__getitem__, default=None)


class Judge:
    """Decides at each layer whether the picture under way is still worth finishing.

    Starting over at each of a stream of requests would never show anything, so between two finished pictures of a view
    no more than WASTE of a picture's time is given up. A request for another network or device always wins.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._wasted: dict[str, float] = {}
        self._request: RenderRequest | None = None
        self._began = 0.0
        self._must = False

    def begin(self, request: RenderRequest, must: bool) -> None:
        """A picture begins; `must`: its view has waited long enough and cannot be put off again."""
        self._request, self._began, self._must = request, time.monotonic(), must

    def finished(self, view: str) -> None:
        self._wasted.pop(view, None)

    def __call__(self, remaining: float | None = None) -> None:
        """Raises Cancelled where going on is pointless; `remaining` seconds of work are left, None: unknown."""
        request = self._request
        assert request is not None
        if self._inbox.closing:
            raise Cancelled
        newer = self._inbox.newer(request.view)
        if newer is not None and (newer.scene.model, newer.scene.compute) != (
            request.scene.model,
            request.scene.compute,
        ):
            raise Cancelled
        if remaining is None or remaining < SOON:
            return
        elapsed = time.monotonic() - self._began
        if newer is not None and newer.moving and not request.moving:
            raise Cancelled  # previews come soon enough
        if newer is not None:
            wasted = self._wasted.get(request.view, 0.0) + elapsed
            if wasted <= WASTE * (elapsed + remaining):
                self._wasted[request.view] = wasted
                raise Cancelled
        elif not self._must and self._inbox.pressed(request.view):
            self._inbox.put_back(request, self._began)
            raise Cancelled


def serve(inbox: Inbox, send: Send, carrier: Carrier, threads: int | None = None) -> None:
    """Answer requests until the inbox closes."""
    engine = _engine(threads)
    send(("ready",))
    try:
        _serve(engine, inbox, send, carrier)
    finally:
        engine.close()


def _serve(engine: Engine, inbox: Inbox, send: Send, carrier: Carrier) -> None:
    judge = Judge(inbox)
    while (work := inbox.next()) is not None:
        request, overdue = work
        for path in inbox.reloads():
            engine.reload(path)
        began = time.monotonic()
        send(("begin", request.view, request.id))
        judge.begin(request, must=overdue)
        answered = _answer(engine, request, judge, send, carrier)
        if answered is None:
            continue
        judge.finished(request.view)
        if request.view == inbox.first:
            inbox.turn = time.monotonic() - began
        send(("answer", *answered))


def _answer(
    engine: Engine, request: RenderRequest, judge: Judge, send: Send, carrier: Carrier
) -> tuple[Answer, Place | GpuPlace | None] | None:
    """The answer and where its picture lies; None where the request was cancelled."""
    last_news = 0.0

    def tell(what: str, fraction: float | None) -> None:
        nonlocal last_news
        judge()
        if time.monotonic() - last_news > NEWS_EVERY:
            last_news = time.monotonic()
            send(("answer", RenderProgress(request.view, request.id, what, fraction), None))

    for last_try in (False, True):
        try:
            finished = engine.render(request.scene, request.view, check=judge, tell=tell, moving=request.moving)
            return finished.result(request), carrier.carry(request.view, finished)
        except Cancelled:
            return None
        except Exception as error:  # noqa: BLE001 - whatever went wrong is an answer
            if is_fatal(error):
                raise
            if last_try or not is_memory(error):
                return failure(request, error), None
        engine.forget()  # memory ran out: once more with nothing kept
    return None


def _engine(threads: int | None) -> Engine:
    """The engine, once torch has arrived; the channel is being listened to meanwhile."""
    import torch

    from ops.image_allocator import disable_malloc_trim
    from renderer.engine import Engine

    disable_malloc_trim()
    if threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads or _threads())
    torch.backends.cudnn.allow_tf32 = False  # TF32 convolutions are off by 1e-3, which shows in spectra
    return Engine()


def _threads() -> int:
    """All cores up to four; of more, one is left to the window."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return cores if cores <= 4 else cores - 1


def open_channel(handle: str) -> Any:
    """The connection that the window opened for this process."""
    if sys.platform == "win32":
        return connection.PipeConnection(int(handle))
    return connection.Connection(int(handle))


def _listen(channel: Any, inbox: Inbox) -> None:
    """Take in what the window says until it closes, or dies; then this process ends too, whatever it is doing."""
    try:
        while not inbox.closing:
            inbox.put(channel.recv())
    except (EOFError, OSError):
        inbox.put(("close",))
    time.sleep(GRACE)
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
    carrier = Carrier(FrameWriter(Arena(options.memory)), lambda offer: channel.send(("offer", offer)))
    inbox = Inbox(carrier)
    threading.Thread(target=_listen, args=(channel, inbox), name="listen", daemon=True).start()
    try:
        serve(inbox, channel.send, carrier, options.threads)
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the window is gone
    except Exception as error:  # noqa: BLE001 - the window is told why
        traceback.print_exc()
        channel.send(("fatal", f"{type(error).__name__}: {error}"))
        os._exit(1)
    os._exit(0)  # not by way of torch's own tidying up, which takes its time


if __name__ == "__main__":
    main(sys.argv[1:])
