"""Pool of frames in GPU memory: which blocks are free and which the window holds.

The pool sees GPU memory only through the protocols below, so tests run it without a GPU. Blocks change owner by message
and are reused for any view whose frames fit. They are never returned to the driver while the renderer runs, because the
window may still have them open.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Protocol

from renderer.messages import GpuFrameHandle
from renderer.transport.frames import SLOTS_PER_VIEW

MIN_BLOCK_BYTES = 2 << 20  # the driver shares whole pages of this size; smaller blocks would expose their neighbors


class GpuBlock(Protocol):
    """GPU memory that both processes see, with one event for each direction."""

    @property
    def handles(self) -> tuple[bytes, bytes, bytes]:
        """IPC handles of the memory, the event `ready` and the event `done`."""
        ...

    def begin_write(self) -> None:
        """Make the following GPU work wait until the window has copied the block's previous frame."""

    def pixels(self, height: int, width: int) -> Any:
        """Return a tensor uint8 [height, width, 4] on the block."""

    def end_write(self) -> None:
        """Record the event `ready` and wait until the frame is written.

        So the window never waits for an event that a dying renderer will not reach.
        """


class GpuMemory(Protocol):
    """Allocator of one GPU's memory. Its methods raise GpuError."""

    @property
    def bus(self) -> str:
        """PCI bus id of the GPU."""
        ...

    def allocate(self, size: int) -> GpuBlock: ...


@dataclass
class _PoolEntry:
    block: GpuBlock
    size: int
    view: str | None = None  # whose frame the window holds in it; None: free


class GpuPool:
    """The shared blocks of one GPU."""

    def __init__(self, memory: GpuMemory) -> None:
        self.bus = memory.bus
        self._memory = memory
        self._blocks: list[_PoolEntry] = []
        self._lock = threading.Lock()  # blocks are released on the receiving thread

    def has_free_slot(self, view: str) -> bool:
        """Whether a frame can be written for the view now."""
        with self._lock:
            return sum(entry.view == view for entry in self._blocks) < SLOTS_PER_VIEW

    def acquire(self, view: str, height: int, width: int) -> tuple[GpuFrameHandle, GpuBlock]:
        """Return a free block and the handle of its frame. Raises LookupError if the view has no free slot."""
        if not self.has_free_slot(view):
            raise LookupError(f"All {SLOTS_PER_VIEW} pictures of {view!r} are with the window.")
        size = max(MIN_BLOCK_BYTES, 1 << (height * width * 4 - 1).bit_length())
        with self._lock:
            free = [number for number, entry in enumerate(self._blocks) if entry.view is None and entry.size >= size]
            number = min(free, key=lambda number: self._blocks[number].size, default=len(self._blocks))
            if number == len(self._blocks):
                self._blocks.append(_PoolEntry(self._memory.allocate(size), size))
            kept = self._blocks[number]
            kept.view = view
        return GpuFrameHandle(view, number, self.bus, height, width, *kept.block.handles), kept.block

    def release(self, number: int) -> None:
        """Free a block that the window no longer uses."""
        with self._lock:
            if number < len(self._blocks):
                self._blocks[number].view = None
