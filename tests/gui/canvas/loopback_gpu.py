"""A GPU's shared memory made of main memory, within one process: streams are threads, events order them as CUDA's do.

What is queued runs later and takes its time, so that a wait that is missing shows as a torn picture.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from OpenGL import GL
from torch import Tensor

from renderer.in_process import InProcessRenderer
from renderer.messages import GpuFrameHandle
from renderer.transport.cuda_driver import GpuError
from renderer.transport.frame_transport import FrameTransport

PATIENCE = 20.0  # seconds


class Stream:
    """Does what is queued, one after the other."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Callable[[], object]] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def queue(self, job: Callable[[], object]) -> None:
        self._jobs.put(job)

    def synchronize(self) -> None:
        done = threading.Event()
        self.queue(done.set)
        assert done.wait(PATIENCE)

    def _run(self) -> None:
        while True:
            self._jobs.get()()


class Event:
    """Waits are for what was recorded last when they were queued; before any record there is nothing to wait for."""

    def __init__(self) -> None:
        self._newest = threading.Event()
        self._newest.set()

    def record(self, stream: Stream) -> None:
        self._newest = threading.Event()
        stream.queue(self._newest.set)

    def wait(self, stream: Stream) -> None:
        newest = self._newest
        stream.queue(lambda: newest.wait(PATIENCE))

    def synchronize(self) -> None:
        assert self._newest.wait(PATIENCE)


@dataclass
class Gpu:
    """What all who are on one machine see: handles and what they stand for."""

    bus: str = "0000:01:00.0"
    slow: float = 0.0  # seconds between the two halves of a copy
    shared: dict[bytes, Any] = field(default_factory=dict)
    opened: list[bytes] = field(default_factory=list)  # handles that a window has open now
    _numbers: Any = field(default_factory=itertools.count)

    def export(self, thing: Any) -> bytes:
        handle = next(self._numbers).to_bytes(64, "big")
        self.shared[handle] = thing
        return handle

    def copy(self, source: np.ndarray, target: np.ndarray) -> None:
        half = len(source) // 2
        target[:half] = source[:half]
        time.sleep(self.slow)
        target[half : len(source)] = source[half:]


class LoopbackMemory:
    """`gpu_pool.GpuMemory`."""

    def __init__(self, gpu: Gpu) -> None:
        self.bus, self.gpu, self.stream, self.made = gpu.bus, gpu, Stream(), 0

    def allocate(self, size: int) -> LoopbackBlock:
        self.made += size
        return LoopbackBlock(self.gpu, self.stream, size)


class LoopbackBlock:
    """`gpu_pool.GpuBlock`."""

    def __init__(self, gpu: Gpu, stream: Stream, size: int) -> None:
        self._gpu, self._stream = gpu, stream
        self._bytes, self._ready, self._done = np.zeros(size, np.uint8), Event(), Event()
        self.handles = gpu.export(self._bytes), gpu.export(self._ready), gpu.export(self._done)
        self._written = np.zeros(0, np.uint8)

    def begin_write(self) -> None:
        self._done.wait(self._stream)

    def pixels(self, height: int, width: int) -> Tensor:
        self._written = np.zeros(height * width * 4, np.uint8)
        return torch.from_numpy(self._written).view(height, width, 4)

    def end_write(self) -> None:
        written = self._written
        self._stream.queue(lambda: self._gpu.copy(written, self._bytes))
        self._ready.record(self._stream)
        self._ready.synchronize()


class LoopbackDevice:
    """`gpu_interop.Opened` with real OpenGL textures. With `wrong` it mistakes red for blue, `broken` fails at once."""

    def __init__(self, gpu: Gpu, wrong: bool = False) -> None:
        self.gpu, self.wrong, self.broken, self.copies, self.closed = gpu, wrong, False, 0, False
        self._stream = Stream()
        self._opened: dict[int, list[Any]] = {}
        self._textures: list[LoopbackTexture] = []

    def register(self, texture: int) -> LoopbackTexture:
        self._textures.append(LoopbackTexture(texture))
        return self._textures[-1]

    def copy(self, place: GpuFrameHandle, target: LoopbackTexture) -> None:
        assert not self.closed and target.name
        if self.broken:
            raise GpuError("The GPU has fallen off the bus")
        self.copies += 1
        pixels = np.zeros(place.height * place.width * 4, np.uint8)
        self.queue(place, pixels)
        self._stream.synchronize()
        frame = pixels.reshape(place.height, place.width, 4)
        frame = np.ascontiguousarray(frame[:, :, [2, 1, 0, 3]] if self.wrong else frame)
        GL.glBindTexture(GL.GL_TEXTURE_2D, target.name)
        size = place.width, place.height
        GL.glTexSubImage2D(GL.GL_TEXTURE_2D, 0, 0, 0, *size, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, frame)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)

    def queue(self, place: GpuFrameHandle, pixels: np.ndarray) -> None:
        """Copy a picture into `pixels`, some time."""
        if place.block not in self._opened:
            handles = place.memory_handle, place.ready_event, place.done_event
            self._opened[place.block] = [self.gpu.shared[handle] for handle in handles]
            self.gpu.opened += handles
        memory, ready, done = self._opened[place.block]
        ready.wait(self._stream)
        self._stream.queue(lambda: self.gpu.copy(memory[: len(pixels)], pixels))
        done.record(self._stream)

    def synchronize(self) -> None:
        self._stream.synchronize()

    def forget(self) -> None:
        self._opened.clear()
        self.gpu.opened.clear()

    def close(self) -> None:
        self.forget()
        for texture in self._textures:
            texture.release()
        self.closed = True


class LoopbackTexture:
    def __init__(self, name: int) -> None:
        self.name = name

    def release(self) -> None:
        self.name = 0


class LoopbackClient(InProcessRenderer):
    """A renderer on a thread that offers its pictures on a GPU made of main memory."""

    def __init__(self, gpu: Gpu) -> None:
        self.memory = LoopbackMemory(gpu)
        super().__init__(threads=1)

    def _create_transport(self) -> FrameTransport:
        return FrameTransport(self._writer, self._on_offer, lambda _device: self.memory, device_type="cpu")
