"""Pictures in a GPU's memory, lent to the window: which memory is free, which is out, and what is said of it.

It knows memory only as something to make blocks of, so that tests run all of this without a GPU. A block is made
once, given out by message and taken back by message; it is used again for any view whose pictures fit into it, and
none is ever given back to the driver while the renderer lives: the window may still have it open.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Protocol

from renderer.messages import GpuFrameHandle
from renderer.transport.frames import SLOTS_PER_VIEW

MIN_BLOCK_BYTES = 2 << 20  # bytes: the driver shares whole pages of this size, and smaller memory with its neighbours


class GpuBlock(Protocol):
    """Memory that both processes see, with an event for each direction."""

    @property
    def handles(self) -> tuple[bytes, bytes, bytes]:
        """By which the window opens the memory, the event `ready` and the event `done`."""
        ...

    def begin_write(self) -> None:
        """What is written from now on waits until the window has copied what it was sent last; nobody else waits."""

    def pixels(self, height: int, width: int) -> Any:
        """A tensor uint8 [height, width, 4] on the block."""

    def end_write(self) -> None:
        """Wait until all is written, and say so by the event `ready`.

        So the window never waits for an event that a dying renderer would leave out.
        """


class GpuMemory(Protocol):
    """One GPU's memory. All of it raises GpuError."""

    @property
    def bus(self) -> str:
        """PCI address of the GPU."""
        ...

    def allocate(self, size: int) -> GpuBlock: ...


@dataclass
class _PoolEntry:
    block: GpuBlock
    size: int
    view: str | None = None  # who has it, None where it is free


class GpuPool:
    """The blocks of one GPU."""

    def __init__(self, memory: GpuMemory) -> None:
        self.bus = memory.bus
        self._memory = memory
        self._blocks: list[_PoolEntry] = []
        self._lock = threading.Lock()  # blocks come back on the thread that listens

    def has_free_slot(self, view: str) -> bool:
        """Whether a picture can be written for the view now."""
        with self._lock:
            return sum(kept.view == view for kept in self._blocks) < SLOTS_PER_VIEW

    def acquire(self, view: str, height: int, width: int) -> tuple[GpuFrameHandle, GpuBlock]:
        """A block to fill; its place is then the window's. Raises LookupError where the view has all it may have."""
        if not self.has_free_slot(view):
            raise LookupError(f"All {SLOTS_PER_VIEW} pictures of {view!r} are with the window.")
        size = max(MIN_BLOCK_BYTES, 1 << (height * width * 4 - 1).bit_length())
        with self._lock:
            free = [number for number, kept in enumerate(self._blocks) if kept.view is None and kept.size >= size]
            number = min(free, key=lambda number: self._blocks[number].size, default=len(self._blocks))
            if number == len(self._blocks):
                self._blocks.append(_PoolEntry(self._memory.allocate(size), size))
            kept = self._blocks[number]
            kept.view = view
        return GpuFrameHandle(view, number, self.bus, height, width, *kept.block.handles), kept.block

    def release(self, number: int) -> None:
        """The window has done with a block."""
        with self._lock:
            if number < len(self._blocks):
                self._blocks[number].view = None
