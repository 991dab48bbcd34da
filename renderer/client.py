"""The window's end of the renderer: ask for pictures, fetch what is ready, never wait.

    client = OtherProcess()
    client.submit(RenderRequest("canvas", 1, scene))
    for answer in client.poll(): ...
    client.close()

`OtherProcess` renders in a process of its own, which is started again whenever it dies; it imports no torch into the
window's. For commands and tests, renderer/in_process.py renders on a thread.
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
    GpuOffer,
    GpuPlace,
    RendererLost,
    RenderFailure,
    RenderProgress,
    RenderRequest,
    RenderResult,
)
from renderer.renderer_process import Running
from renderer.transport.frames import Place

TRIES = 3  # times that the renderer may die on one request, or while it starts, before that is taken as the cause
AnyPlace = Place | GpuPlace
PARTING = 0.5  # seconds that the renderer has to end by itself


class Client:
    """What both kinds of client offer. Safe to use from one thread; no call waits for the renderer."""

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        """`wake` is called on another thread whenever there is something to poll."""
        self._wake = wake
        self._changed = threading.Condition()
        self._last: dict[str, RenderRequest] = {}  # of each view the newest request
        self._answered: dict[str, int] = {}  # of each view the newest id that has its picture or sentence
        self._incoming: deque[tuple[Answer, AnyPlace | None, Any]] = deque()
        self._shown: dict[str, tuple[AnyPlace, Any]] = {}
        self._first = "canvas"
        self._closing = False
        self.offer: GpuOffer | None = None  # of the renderer that is there: whether its pictures can stay on the GPU

    def submit(self, request: RenderRequest, *, first: bool = False) -> None:
        """Ask for a picture; of the requests of a view the newest counts. `first`: this view is under the hand."""
        with self._changed:
            self._last[request.view] = request
            if first:
                self._first = request.view
            self._ask(request)
            self._changed.notify_all()

    def reload(self, path: str) -> None:
        """Read the network of this path again, and make the pictures anew that show it."""
        with self._changed:
            self._tell(("reload", path))
            for request in self._last.values():
                if request.scene.model.path == path:
                    self._unanswered(request)
                    self._ask(request)
            self._changed.notify_all()

    def share(self, bus: str, wanted: bool) -> None:
        """Have pictures stay on the GPU of this PCI address, or come through main memory (again)."""
        with self._changed:
            self._tell(("share", bus, wanted))
            self._changed.notify_all()

    def again(self) -> None:
        """Have the newest picture of each view sent anew."""
        with self._changed:
            for request in self._last.values():
                self._unanswered(request)
                self._ask(request)
            self._changed.notify_all()

    def poll(self) -> list[Answer]:
        """What has come since the last call: of each view only the newest, and nothing older than what it has shown.

        The frame of a result stays valid until a newer one of its view is polled.
        """
        with self._changed:
            incoming, self._incoming = self._incoming, deque()
        lost: list[Answer] = []
        newest: dict[str, tuple[Answer, AnyPlace | None, Any]] = {}
        progress: dict[str, RenderProgress] = {}
        for item in incoming:
            answer, place, source = item
            if isinstance(answer, RendererLost):
                lost.append(answer)
                newest = {view: one for view, one in newest.items() if not isinstance(one[1], GpuPlace)}  # gone with it
                for request in self._last.values():  # the next renderer makes it again
                    if not self._given_up(request):
                        self._unanswered(request)
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
        return [*lost, *news, *(self._delivered(*item) for item in newest.values())]

    def forget(self, view: str) -> None:
        """The view is gone: its picture is not made again after a crash, and its memory is free for others."""
        with self._changed:
            self._last.pop(view, None)
        shown = self._shown.pop(view, None)
        if shown is not None:
            self._free(*shown)

    def busy(self, view: str) -> bool:
        """Whether the newest request of a view is still to be answered."""
        request = self._last.get(view)
        return request is not None and request.id > self._answered.get(view, request.id - 1)

    @property
    def alive(self) -> bool:
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

    def _ask(self, request: RenderRequest) -> None:
        raise NotImplementedError

    def _given_up(self, request: RenderRequest) -> bool:
        return False

    def _tell(self, message: tuple[Any, ...]) -> None:
        raise NotImplementedError

    def _free(self, place: AnyPlace, source: Any) -> None:
        raise NotImplementedError

    def _unanswered(self, request: RenderRequest) -> None:
        before = request.id - 1
        self._answered[request.view] = min(self._answered.get(request.view, before), before)

    def _came(self, answer: Answer, place: AnyPlace | None = None, source: Any = None) -> None:
        with self._changed:
            self._incoming.append((answer, place, source))
        if self._wake is not None:
            self._wake()

    def _offered(self, offer: GpuOffer) -> None:
        self.offer = offer
        if self._wake is not None:
            self._wake()

    def _delivered(self, answer: Answer, place: AnyPlace | None, source: Any) -> Answer:
        if place is not None:
            before = self._shown.get(place.view)
            self._shown[place.view] = (place, source)
            if before is not None:
                self._free(*before)
        return answer

    def _drop(self, item: tuple[Answer, AnyPlace | None, Any] | None) -> None:
        if item is not None and item[1] is not None:
            self._free(item[1], item[2])


class OtherProcess(Client):
    """The renderer in a process of its own: its crash costs a second, its work does not slow the window."""

    def __init__(self, threads: int | None = None, wake: Callable[[], None] | None = None) -> None:
        """`threads`: how many the renderer computes with; by default nearly all cores."""
        super().__init__(wake)
        self._threads = threads
        self._running: Running | None = None
        self._wishes: dict[str, RenderRequest] = {}  # still to be sent
        self._orders: deque[tuple[Any, ...]] = deque()  # still to be sent, none may be left out
        self._works_on: tuple[str, int] | None = None
        self._tries: dict[tuple[str, int], int] = {}
        self._false_starts = 0
        self._ready = False
        self._keeper = threading.Thread(target=self._keep, name="renderer's keeper", daemon=True)
        self._teller = threading.Thread(target=self._talk, name="renderer's teller", daemon=True)
        self._keeper.start()
        self._teller.start()

    @property
    def alive(self) -> bool:
        running = self._running
        return running is not None and running.process.poll() is None

    @property
    def pid(self) -> int | None:
        running = self._running
        return running.process.pid if running is not None else None

    def restart(self) -> None:
        """End the renderer and start a new one, for one that hangs."""
        running = self._running
        if running is not None:
            running.process.kill()

    def close(self) -> None:
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._orders.append(("close",))
            self._changed.notify_all()
        self._keeper.join(timeout=PARTING)
        self.restart()
        self._keeper.join(timeout=5)
        self._teller.join(timeout=5)

    def _ask(self, request: RenderRequest) -> None:
        self._tries.pop((request.view, request.id), None)
        self._wishes[request.view] = request

    def _given_up(self, request: RenderRequest) -> bool:
        return self._tries.get((request.view, request.id), 0) > TRIES

    def _tell(self, message: tuple[Any, ...]) -> None:
        self._orders.append(message)

    def _free(self, place: AnyPlace, source: Any) -> None:
        with self._changed:
            if self._running is not None and source is self._running:
                self._orders.append(returned(place))
                self._changed.notify_all()

    def _keep(self) -> None:
        """Start the renderer, listen to it, and start again when it is gone."""
        while True:
            with self._changed:
                while self._false_starts >= TRIES and not self._wishes and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
            try:
                running = Running(self._threads)
            except OSError as error:
                self._mourn(f"The renderer could not be started ({error.strerror}).")
                continue
            with self._changed:
                self._running = running
                self._changed.notify_all()
            why = self._listen(running)
            with self._changed:
                self._running = None
                self._changed.notify_all()
            ended = running.end()
            if self._closing:
                return
            self._mourn(why or ended)

    def _listen(self, running: Running) -> str:
        """Take in what the renderer says until it is gone; the reason, if it gave one."""
        why = ""
        while True:
            try:
                message = running.channel.recv()
            except (EOFError, OSError, pickle.UnpicklingError):  # the last message may be torn
                return why
            match message:
                case ("answer", answer, place):
                    if not isinstance(answer, RenderProgress):
                        self._works_on = None
                        self._tries.pop((answer.view, answer.id), None)
                    self._came(located(answer, place, running.reader.array), place, running)
                case ("offer", offer):
                    self._offered(offer)
                case ("begin", view, number):
                    self._works_on = (view, number)
                case ("ready",):
                    self._false_starts = 0
                    self._ready = True
                case ("fatal", reason):
                    why = f"The renderer ended ({reason})."

    def _mourn(self, why: str) -> None:
        """The renderer is gone: say so, and ask the next one for the newest picture of each view.

        A request on which it died TRIES times gets a sentence instead; so do all when it cannot even start.
        """
        culprit, self._works_on = self._works_on, None
        self.offer = None
        started, self._ready = self._ready, False
        given_up: list[RenderRequest] = []
        with self._changed:
            self._orders = deque(order for order in self._orders if order[0] == "close")
            if culprit is not None:
                self._tries[culprit] = self._tries.get(culprit, 0) + 1
            if not started:
                self._false_starts += 1
            for view, request in self._last.items():
                if self._given_up(request):
                    continue
                if self._false_starts >= TRIES or self._tries.get((view, request.id)) == TRIES:
                    given_up.append(request)
                    self._wishes.pop(view, None)
                    self._tries[view, request.id] = TRIES + 1
                else:
                    self._wishes[view] = request
        self._came(RendererLost(why))
        for request in given_up:
            what = "on this picture" if self._false_starts < TRIES else "while it started"
            problem = (
                f"{why.rstrip('.')}; it has now ended {TRIES} times {what}, so it is tried again only when something "
                "changes: undo the last change, or choose another network or device."
            )
            self._came(RenderFailure(request.view, request.id, request.scene, problem, why))

    def _talk(self) -> None:
        """Send what is wanted; this thread waits for the renderer, so that the window need not."""
        while True:
            with self._changed:
                while not (self._running and (self._wishes or self._orders)):
                    if self._closing and not self._running:
                        return
                    self._changed.wait(timeout=1.0 if self._closing else None)
                running = self._running
                orders, self._orders = self._orders, deque()
                wishes = sorted(self._wishes.values(), key=lambda request: request.view != self._first)
                self._wishes = {}
                first = self._first
            try:
                for order in orders:
                    running.send(order)
                for request in wishes:
                    running.send(("render", request, request.view == first))
            except OSError:  # it is gone, and what it was told is asked for again
                time.sleep(0.01)


def located(answer: Answer, place: AnyPlace | None, array: Callable[[Place], np.ndarray]) -> Answer:
    """An answer with its picture, or where that is on the GPU."""
    if not isinstance(answer, RenderResult) or place is None:
        return answer
    return replace(answer, place=place) if isinstance(place, GpuPlace) else replace(answer, frame=array(place))


def returned(place: AnyPlace) -> tuple[Any, ...]:
    """What tells the renderer that the window has done with a picture."""
    return ("free block", place.bus, place.block) if isinstance(place, GpuPlace) else ("free", place.view, place.slot)
