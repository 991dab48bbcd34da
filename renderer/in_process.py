"""The renderer on a thread of this process, for commands and tests: asked and heard as the one in another process is.

    with InProcess() as client:
        client.submit(RenderRequest("picture", 1, scene))
        for answer in client.poll(): ...

torch arrives on that thread, so that importing this file is quick.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from typing import Any

from renderer.client import AnyPlace, Client, located, returned
from renderer.messages import RenderFailure, RenderRequest
from renderer.server import Inbox, serve
from renderer.transport.frame_transport import Carrier
from renderer.transport.frames import FrameWriter


class InProcess(Client):
    """The renderer on a thread of this process."""

    def __init__(self, threads: int | None = None, wake: Callable[[], None] | None = None) -> None:
        super().__init__(wake)
        self._broken = ""
        self._writer = FrameWriter()
        self._carrier = self._new_carrier()
        self._inbox = Inbox(self._carrier)
        self._thread = threading.Thread(target=self._serve, args=(threads,), name="renderer", daemon=True)
        self._thread.start()

    def _new_carrier(self) -> Carrier:
        return Carrier(self._writer)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def pid(self) -> int | None:
        return os.getpid() if self.alive else None

    def close(self) -> None:
        self._closing = True
        self._inbox.put(("close",))
        self._thread.join(timeout=10)  # to the end of the layer that is being computed

    def _serve(self, threads: int | None) -> None:
        try:
            serve(self._inbox, self._heard, self._carrier, threads)
        except Exception as error:  # noqa: BLE001 - whatever ended it, those who wait are told
            with self._changed:
                self._broken = (
                    f"The renderer ended ({type(error).__name__}: {str(error):.200}): start the program again."
                )
                for request in self._last.values():
                    self._refuse(request, traceback.format_exc())

    def _refuse(self, request: RenderRequest, details: str = "") -> None:
        self._came(RenderFailure(request.view, request.id, request.scene, self._broken, details))

    def _heard(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("answer", answer, place):
                self._came(located(answer, place, self._writer.array), place)
            case ("offer", offer):
                self._offered(offer)

    def _ask(self, request: RenderRequest) -> None:
        if self._broken:
            self._refuse(request)
        else:
            self._inbox.put(("render", request, request.view == self._first))

    def _tell(self, message: tuple[Any, ...]) -> None:
        self._inbox.put(message)

    def _free(self, place: AnyPlace, source: Any) -> None:
        self._inbox.put(returned(place))
