"""Pictures on their way to the window: memory that both processes see and that nobody can leave behind.

One nameless block (the arena) is handed to the renderer when it starts. The renderer cuts it into slots, three a view,
and makes it longer when a larger picture comes. A slot changes hands by message, so no picture can be torn: the
renderer fills it and sends its Place; the window shows it and, once it has taken the view's next picture, gives it
back. The block has no name in /dev/shm at any time: it is gone when the last of the two processes is, however it ends.
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

SLOTS_PER_VIEW = 3  # one on the screen, one on its way, one being filled
MIN_SLOT_BYTES = 1 << 18  # bytes; a slot's size is a power of two, a multiple of every system's mapping granularity


@dataclass(frozen=True)
class FrameHandle:
    """Where one finished picture lies: the slot of a view, and its bytes in the arena."""

    view: str
    slot: int
    offset: int
    length: int
    height: int
    width: int


def make_test_image(height: int, width: int) -> np.ndarray:
    """A picture that shows whether a way to the window is right: uint8 [height, width, 4], no two pixels alike."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 251, y % 241, (3 * x + 7 * y) % 239, 255 - (x + 2 * y) % 200], axis=2).astype(np.uint8)


class Arena:
    """A growing block of memory shared by two processes.

    `handle` (a file descriptor, on Windows a word) goes to the other process, which makes its own `Arena(handle)`.
    """

    def __init__(self, handle: str) -> None:
        self.handle = handle
        self._open = sys.platform != "win32"

    @classmethod
    def create(cls) -> Arena:
        """A new empty block. On Linux it is anonymous memory, on macOS a file whose name is already gone."""
        if sys.platform == "win32":
            return cls(f"bandlimit-{uuid.uuid4().hex}")
        if hasattr(os, "memfd_create"):
            return cls(str(os.memfd_create("bandlimit-frames")))
        with tempfile.TemporaryFile(prefix="bandlimit-") as file:
            return cls(str(os.dup(file.fileno())))

    def map(self, offset: int, length: int, grow: bool = False) -> mmap.mmap:
        """The bytes from `offset`; they stay mapped as long as any array looks at them. Only the renderer grows it."""
        if sys.platform == "win32":  # each slot is a block of its own there, which ends with its last user
            named: dict[str, Any] = {"tagname": f"{self.handle}-{offset}-{length}"}
            return mmap.mmap(-1, length, **named)
        file = int(self.handle)
        if grow and os.fstat(file).st_size < offset + length:
            os.ftruncate(file, offset + length)
        return mmap.mmap(file, length, offset=offset)

    def close(self) -> None:
        """Let go of the block; pictures that are still being looked at stay valid."""
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
        """The number of a free slot, one that has memory already if there is one."""
        ready = [i for i, slot in enumerate(self.slots) if slot is not None and slot.free]
        return ready[0] if ready else next((i for i, slot in enumerate(self.slots) if slot is None), None)


class FrameWriter:
    """The renderer's side. Without an arena (renderer and window in one process) slots are plain arrays."""

    def __init__(self, arena: Arena | None = None) -> None:
        self._arena = arena
        self._rings: dict[str, _SlotRing] = {}
        self._free_ranges: list[tuple[int, int]] = []  # (length, offset) of parts that outgrown slots left
        self._end = 0
        self._lock = threading.Lock()  # slots come back on the thread that listens

    def has_free_slot(self, view: str) -> bool:
        """Whether a picture can be written for the view now."""
        with self._lock:
            return view not in self._rings or self._rings[view].find_free() is not None

    def acquire(self, view: str, height: int, width: int) -> tuple[FrameHandle, np.ndarray]:
        """A slot to fill, uint8 [height, width, 4]; its Place is then the window's. LookupError where none is free."""
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
        place = FrameHandle(view, number, slot.offset, slot.length, height, width)
        return place, slot.pixels[:size].reshape(height, width, 4)

    def array(self, place: FrameHandle) -> np.ndarray:
        """The picture at a place that the window has, where both are one process."""
        ring = self._rings[place.view].slots[place.slot]
        assert ring is not None
        return ring.pixels.reshape(place.height, place.width, 4)

    def release(self, view: str, slot: int) -> None:
        """The window has done with a slot."""
        with self._lock:
            ring = self._rings.get(view)
            held = ring.slots[slot] if ring else None
            if held is not None:
                held.free = True

    def _new_slot(self, size: int) -> _Slot:
        if self._arena is None:  # a fresh array each time: the window keeps the old one for as long as it likes
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
    """The window's side."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._mappings: dict[tuple[str, int], tuple[int, int, np.ndarray]] = {}

    def array(self, place: FrameHandle) -> np.ndarray:
        """The picture at a place, uint8 [height, width, 4], read only, without a copy."""
        key = (place.view, place.slot)
        offset, length, pixels = self._mappings.get(key, (-1, -1, None))
        if pixels is None or (offset, length) != (place.offset, place.length):
            pixels = np.frombuffer(self._arena.map(place.offset, place.length), np.uint8)
            pixels.flags.writeable = False
            self._mappings[key] = (place.offset, place.length, pixels)
        return pixels[: place.height * place.width * 4].reshape(place.height, place.width, 4)
