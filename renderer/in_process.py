"""The renderer on a thread of this process, for commands and tests; same interface as `SubprocessRenderer`.

    with InProcessRenderer() as client:
        client.submit(RenderRequest("image", 1, scene))
        for answer in client.poll(): ...

torch is imported on that thread, so importing this module is quick.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from typing import Any

from renderer.client import AnyFrameHandle, Client, release_message, with_frame
from renderer.messages import RenderFailure, RenderRequest
from renderer.server import RequestQueue, serve
from renderer.transport.frame_transport import FrameTransport
from renderer.transport.frames import FrameWriter


class InProcessRenderer(Client):
    """Renderer on a thread of this process. Arguments as in `SubprocessRenderer`."""

    def __init__(self, threads: int | None = None, wake: Callable[[], None] | None = None) -> None:
        super().__init__(wake)
        self._failure_message = ""
        self._writer = FrameWriter()
        self._transport = self._create_transport()
        self._queue = RequestQueue(self._transport)
        self._thread = threading.Thread(target=self._serve, args=(threads,), name="renderer", daemon=True)
        self._thread.start()

    def _create_transport(self) -> FrameTransport:
        return FrameTransport(self._writer)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def pid(self) -> int | None:
        return os.getpid() if self.is_alive else None

    def close(self) -> None:
        self._closing = True
        self._queue.put(("close",))
        self._thread.join(timeout=10)  # the layer under way is finished first

    def _serve(self, threads: int | None) -> None:
        try:
            serve(self._queue, self._on_message, self._transport, threads)
        except Exception as error:  # noqa: BLE001 - every pending request gets the reason
            with self._condition:
                self._failure_message = (
                    f"The renderer ended ({type(error).__name__}: {str(error):.200}): start the program again."
                )
                for request in self._latest.values():
                    self._refuse(request, traceback.format_exc())

    def _refuse(self, request: RenderRequest, details: str = "") -> None:
        self._on_answer(RenderFailure(request.view, request.id, request.scene, self._failure_message, details))

    def _on_message(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("answer", answer, handle):
                self._on_answer(with_frame(answer, handle, self._writer.array), handle)
            case ("offer", offer):
                self._on_offer(offer)

    def _send_request(self, request: RenderRequest) -> None:
        if self._failure_message:
            self._refuse(request)
        else:
            self._queue.put(("render", request, request.view == self._active_view))

    def _send_command(self, message: tuple[Any, ...]) -> None:
        self._queue.put(message)

    def _release(self, handle: AnyFrameHandle, source: Any) -> None:
        self._queue.put(release_message(handle))
