"""Frames in memory shared by both processes; nothing is left behind if one of them is killed.

The renderer is given one anonymous memory block (the arena) when it starts. It divides the block into slots, three per
view, and grows it for larger images. Slots change owner by message, so a frame is never torn: the renderer fills a slot
and sends its FrameHandle; the window shows it, and releases it once it has received the view's next frame. The block
never has a name in /dev/shm: the system frees it when both processes have exited, in whatever way.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SLOTS_PER_VIEW = 3  # one shown, one in transit, one being filled
MIN_SLOT_BYTES = 1 << 18  # slot sizes are powers of two, and multiples of every system's mapping granularity


@dataclass(frozen=True)
class FrameHandle:
    """Location of one frame: the slot of its view, and the slot's bytes in the arena."""

    view: str
    slot: int
    offset: int
    length: int
    height: int
    width: int


def make_test_image(height: int, width: int) -> np.ndarray:
    """Return a frame for testing a transport: uint8 [height, width, 4], all pixels different."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 251, y % 241, (3 * x + 7 * y) % 239, 255 - (x + 2 * y) % 200], axis=2).astype(np.uint8)


class Arena:
    """A growable block of memory shared by two processes.

    `handle` (a file descriptor, on Windows a word) goes to the other process, which makes its own `Arena(handle)`.
    """

    def __init__(self, handle: str) -> None:
        self.handle = handle
        self._open = sys.platform != "win32"

    @classmethod
    def create(cls) -> Arena:
        """Create an empty block: anonymous memory on Linux, an unlinked file on macOS."""
        if sys.platform == "win32":
            return cls(f"bandlimit-{uuid.uuid4().hex}")
        if hasattr(os, "memfd_create"):
            return cls(str(os.memfd_create("bandlimit-frames")))
        with tempfile.TemporaryFile(prefix="bandlimit-") as file:
            return cls(str(os.dup(file.fileno())))

    def map(self, offset: int, length: int, grow: bool = False) -> mmap.mmap:
        """Map a range; it stays mapped while any array uses it. Only the renderer passes `grow`."""
        if sys.platform == "win32":  # there, each slot is a block of its own, freed with its last user
            named: dict[str, Any] = {"tagname": f"{self.handle}-{offset}-{length}"}
            return mmap.mmap(-1, length, **named)
        file = int(self.handle)
        if grow and os.fstat(file).st_size < offset + length:
            os.ftruncate(file, offset + length)
        return mmap.mmap(file, length, offset=offset)

    def close(self) -> None:
        """Close the block; frames that are still mapped stay valid."""
        if self._open:
            self._open = False
            os.close(int(self.handle))


@dataclass
class _Slot:
    offset: int
    length: int
    pixels: np.ndarray  # uint8 [length]
    free: bool = True


@dataclass
class _SlotRing:
    slots: list[_Slot | None] = field(default_factory=lambda: [None] * SLOTS_PER_VIEW)

    def find_free(self) -> int | None:
        """Return the index of a free slot, preferably one with memory; None if all are in use."""
        ready = [i for i, slot in enumerate(self.slots) if slot is not None and slot.free]
        return ready[0] if ready else next((i for i, slot in enumerate(self.slots) if slot is None), None)


class FrameWriter:
    """The renderer's side. Without an arena (renderer and window in one process), slots are plain arrays."""

    def __init__(self, arena: Arena | None = None) -> None:
        self._arena = arena
        self._rings: dict[str, _SlotRing] = {}
        self._free_ranges: list[tuple[int, int]] = []  # (length, offset) of slots that were replaced by larger ones
        self._end = 0
        self._lock = threading.Lock()  # slots are released on the receiving thread

    def has_free_slot(self, view: str) -> bool:
        """Whether a frame can be written for the view now."""
        with self._lock:
            return view not in self._rings or self._rings[view].find_free() is not None

    def acquire(self, view: str, height: int, width: int) -> tuple[FrameHandle, np.ndarray]:
        """Return a free slot's handle and its pixels to fill, uint8 [height, width, 4].

        Raises LookupError if the window holds all slots of the view.
        """
        with self._lock:
            ring = self._rings.setdefault(view, _SlotRing())
            number = ring.find_free()
            if number is None:
                raise LookupError(f"All {SLOTS_PER_VIEW} picture slots of {view!r} are with the window.")
            size = height * width * 4
            slot = ring.slots[number]
            if slot is None or slot.length < size or self._arena is None:
                if slot is not None and self._arena is not None:
                    self._free_ranges.append((slot.length, slot.offset))
                slot = ring.slots[number] = self._new_slot(size)
            slot.free = False
        handle = FrameHandle(view, number, slot.offset, slot.length, height, width)
        return handle, slot.pixels[:size].reshape(height, width, 4)

    def array(self, handle: FrameHandle) -> np.ndarray:
        """Return the frame of a handle, if renderer and window are one process."""
        slot = self._rings[handle.view].slots[handle.slot]
        assert slot is not None
        return slot.pixels.reshape(handle.height, handle.width, 4)

    def release(self, view: str, slot: int) -> None:
        """Free a slot that the window no longer uses."""
        with self._lock:
            ring = self._rings.get(view)
            entry = ring.slots[slot] if ring else None
            if entry is not None:
                entry.free = True

    def _new_slot(self, size: int) -> _Slot:
        if self._arena is None:  # a new array each time: the window may keep the old one
            return _Slot(0, size, np.empty(size, np.uint8))
        length = max(MIN_SLOT_BYTES, 1 << (size - 1).bit_length())
        spare = next((part for part in self._free_ranges if part[0] == length), None)
        if spare is not None:
            self._free_ranges.remove(spare)
            offset = spare[1]
        else:
            offset, self._end = self._end, self._end + length
        return _Slot(offset, length, np.frombuffer(self._arena.map(offset, length, grow=True), np.uint8))


class FrameReader:
    """The window's side of the shared memory."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._mappings: dict[tuple[str, int], tuple[int, int, np.ndarray]] = {}

    def array(self, handle: FrameHandle) -> np.ndarray:
        """Return a frame, uint8 [height, width, 4], read-only, without copying."""
        key = (handle.view, handle.slot)
        offset, length, pixels = self._mappings.get(key, (-1, -1, None))
        if pixels is None or (offset, length) != (handle.offset, handle.length):
            pixels = np.frombuffer(self._arena.map(handle.offset, handle.length), np.uint8)
            pixels.flags.writeable = False
            self._mappings[key] = (handle.offset, handle.length, pixels)
        return pixels[: handle.height * handle.width * 4].reshape(handle.height, handle.width, 4)
