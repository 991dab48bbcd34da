"""Reuse memory for large images on the CPU: faulting in fresh pages takes longer than computing the layers."""

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

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # options of glibc's mallopt
POOLED_BYTES = 1 << 20  # images from this size on are allocated from the pool
HUGE_PAGE_BYTES = 2 << 20
CACHE_LINE_FLOATS = 16
CACHE_ALIAS_STRIDE = 256  # floats: pixels a multiple of this apart fall into the same cache sets and evict each other
MAX_FREE_BYTES = 2 << 30  # of free buffers that are kept; a network of 1024 pixels uses 1.7 GB
SPARE_BYTES = 160 << 20  # of free buffers that are kept beyond the peak in use, for smaller layers
MAX_OVERSIZE = 2  # a buffer may be this many times larger than requested, unless it is short-lived


def empty_image(size: Sequence[int]) -> Tensor:
    """Return an uninitialized float32 image [N,C,H,W] in channels_last memory. Raises MemoryError.

    A large one reuses the memory of one that no tensor shares any more, or else gets huge pages where the system has
    them.
    """
    return _empty(size, size[1], short_lived=False)


def empty_padded_image(size: Sequence[int], short_lived: bool = False) -> tuple[Tensor, int]:
    """Return `empty_image` with padding after each pixel, and the pixel stride in floats.

    Each pixel begins at a cache line, unless that would add more than 1/16, and strides that are a multiple of 1024
    bytes are avoided: a few vectors of each pixel would compete for few sets of a cache. A `short_lived` image may take
    a buffer of any size.
    """
    stride = -(-size[1] // CACHE_LINE_FLOATS) * CACHE_LINE_FLOATS
    if stride % CACHE_ALIAS_STRIDE == 0:
        stride += CACHE_LINE_FLOATS
    stride = stride if stride * 16 <= size[1] * 17 else size[1]
    return _empty(size, stride, short_lived), stride


def _empty(size: Sequence[int], stride: int, short_lived: bool) -> Tensor:
    n, c, h, w = size
    count = n * h * w * stride
    if count * 4 < POOLED_BYTES:
        memory = torch.empty(count)
    else:
        memory = torch.frombuffer(_pool.allocate(count * 4, short_lived), dtype=torch.float32, count=count)
    return memory.as_strided((n, c, h, w), (h * w * stride, 1, w * stride, stride))


def pixel_stride(x: Tensor) -> int | None:
    """Return the floats from one pixel to the next in channels_last memory, padded or not; None for other layouts."""
    n, c, h, w = x.shape
    stride = x.stride(3)
    fits = x.stride(1) == 1 and x.stride(2) == w * stride and (n == 1 or x.stride(0) == h * w * stride)
    return stride if fits and stride >= c else None


def release() -> None:
    """Return the memory that is kept for later images to the system."""
    _pool.release()


class BufferPool:
    """Buffers for large images. A buffer returns to the pool when the last tensor that shares it is gone.

    Free buffers are kept only up to a little more than the peak that was in use at once.
    """

    def __init__(self) -> None:
        self._free: list[mmap.mmap] = []
        self._used_bytes = self._peak_bytes = 0
        self._lock = threading.RLock()  # reentrant: the garbage collector may return a buffer while this thread is here

    def allocate(self, size: int, short_lived: bool = False) -> ctypes.Array[ctypes.c_char]:
        """Return a buffer of at least `size` bytes: the smallest free one that fits, or a new one."""
        with self._lock:
            largest = sys.maxsize if short_lived else max(MAX_OVERSIZE * size, HUGE_PAGE_BYTES)
            fitting = [buffer for buffer in self._free if size <= len(buffer) <= largest]
            buffer = min(fitting, key=len) if fitting else _map_pages(size)
            if fitting:
                self._free.remove(buffer)
            self._used_bytes += len(buffer)
            self._peak_bytes = max(self._peak_bytes, self._used_bytes)
            self._trim()
        array = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        weakref.finalize(array, self._on_unused, buffer).atexit = False
        return array

    def release(self) -> None:
        with self._lock:
            self._free.clear()
            self._peak_bytes = self._used_bytes

    def _on_unused(self, buffer: mmap.mmap) -> None:
        with self._lock:
            self._used_bytes -= len(buffer)
            self._free.append(buffer)
            self._trim()

    def _trim(self) -> None:
        allowed = min(self._peak_bytes - self._used_bytes + SPARE_BYTES, MAX_FREE_BYTES)
        while sum(map(len, self._free)) > allowed:
            self._free.remove(max(self._free, key=len))  # the next image starts with its small layers


def _map_pages(size: int) -> mmap.mmap:
    size = -(-size // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
    try:
        if sys.platform == "win32":
            return mmap.mmap(-1, size)
        buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(
            f"There was not enough memory for a layer of {size >> 20} MiB; close other programs."
        ) from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


_pool = BufferPool()


def disable_malloc_trim() -> None:
    """Make malloc keep freed memory in this process; faulting in fresh pages takes longer than computing the layers."""
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (OSError, AttributeError):  # not glibc
            return
        if not mallopt(M_MMAP_THRESHOLD, 1 << 30):  # older versions refuse so high a threshold
            mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
