"""Memory for large pictures on the CPU: fresh pages cost more than the layers that are written to them."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
import threading
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's mallopt
POOLED_BYTES = 1 << 20  # bytes from which a picture has pages of its own
HUGE_PAGE_BYTES = 2 << 20  # bytes of a huge page
CACHE_LINE_FLOATS = 16  # numbers of a cache line
CACHE_ALIAS_STRIDE = 256  # numbers: pixels so far apart, or a multiple of it, push each other out of the caches
MAX_FREE_BYTES = 2 << 30  # bytes of free memory that are kept for later pictures: a network of 1024 pixels uses 1.7 GB
SPARE_BYTES = 160 << 20  # bytes that are kept beyond what was in use at once: the blocks of smaller layers
MAX_OVERSIZE = 2  # times what a picture asks for may be given to it, unless it is needed for a brief time only


def empty_image(size: Sequence[int]) -> Tensor:
    """An uninitialised float32 picture [N,C,H,W] in channels_last memory. Raises MemoryError.

    A large one is given the memory of one that nobody holds any more, or else huge pages where the system has them.
    """
    return _empty(size, size[1], False)


def empty_padded_image(size: Sequence[int], short_lived: bool = False) -> tuple[Tensor, int]:
    """The same with room between pixels, so that each begins where a cache line does, unless that is much room.

    Pixels do not lie 1024 bytes or a multiple apart, either: a few vectors of each would share few places of a cache.
    One that is needed for a `brief` time may take up memory of any size. Returns the numbers from one pixel to the
    next, too.
    """
    row = -(-size[1] // CACHE_LINE_FLOATS) * CACHE_LINE_FLOATS
    if row % CACHE_ALIAS_STRIDE == 0:
        row += CACHE_LINE_FLOATS
    row = row if row * 16 <= size[1] * 17 else size[1]
    return _empty(size, row, short_lived), row


def _empty(size: Sequence[int], row: int, short_lived: bool) -> Tensor:
    n, c, h, w = size
    count = n * h * w * row
    if count * 4 < POOLED_BYTES:
        pixels = torch.empty(count)
    else:
        pixels = torch.frombuffer(_pool.allocate(count * 4, short_lived), dtype=torch.float32, count=count)
    return pixels.as_strided((n, c, h, w), (h * w * row, 1, w * row, row))


def pixel_stride(x: Tensor) -> int | None:
    """Numbers from one pixel to the next in channels_last memory, maybe with room between pixels; None in other."""
    n, c, h, w = x.shape
    row = x.stride(3)
    there = x.stride(1) == 1 and x.stride(2) == w * row and (n == 1 or x.stride(0) == h * w * row)
    return row if there and row >= c else None


def release() -> None:
    """Give the memory that is kept for later pictures back to the system."""
    _pool.release()


class BufferPool:
    """Memory that pictures were made in. A block comes back when the last tensor that shares it is gone.

    What is free is kept as far as there is little more than was in use at once: keeping hardly takes memory of its own.
    """

    def __init__(self) -> None:
        self._free: list[mmap.mmap] = []
        self._used = self._peak = 0  # bytes in use, and at most so far
        self._lock = threading.RLock()  # a block may come back while this thread is in here: garbage is collected

    def allocate(self, size: int, short_lived: bool = False) -> ctypes.Array[ctypes.c_char]:
        with self._lock:
            largest = sys.maxsize if short_lived else max(MAX_OVERSIZE * size, HUGE_PAGE_BYTES)
            fitting = [block for block in self._free if size <= len(block) <= largest]
            block = min(fitting, key=len) if fitting else _map_pages(size)
            if fitting:
                self._free.remove(block)
            self._used += len(block)
            self._peak = max(self._peak, self._used)
            self._trim()
        held = (ctypes.c_char * len(block)).from_buffer(block)
        weakref.finalize(held, self._on_unused, block).atexit = False
        return held

    def release(self) -> None:
        with self._lock:
            self._free.clear()
            self._peak = self._used

    def _on_unused(self, block: mmap.mmap) -> None:
        with self._lock:
            self._used -= len(block)
            self._free.append(block)
            self._trim()

    def _trim(self) -> None:
        allowed = min(self._peak - self._used + SPARE_BYTES, MAX_FREE_BYTES)
        while sum(map(len, self._free)) > allowed:
            self._free.remove(max(self._free, key=len))  # the next picture begins with its small layers


def _map_pages(size: int) -> mmap.mmap:
    size = -(-size // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
    try:
        if sys.platform == "win32":
            return mmap.mmap(-1, size)
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(
            f"There was not enough memory for a layer of {size >> 20} MiB; close other programs."
        ) from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            block.madvise(mmap.MADV_HUGEPAGE)
    return block


_pool = BufferPool()


def disable_malloc_trim() -> None:
    """Let this process keep what was freed: fresh pages cost more than the layers that are written to them."""
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (OSError, AttributeError):  # not glibc
            return
        if not mallopt(M_MMAP_THRESHOLD, 1 << 30):  # older ones refuse so high a threshold
            mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
