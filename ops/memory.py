"""How the C library deals with memory that tensors gave back."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's mallopt


def keep_freed_pages() -> None:
    """Let this process keep what was freed: fresh pages cost more than the layers that are written to them."""
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (OSError, AttributeError):  # not glibc
            return
        if not mallopt(M_MMAP_THRESHOLD, 1 << 30):  # older ones refuse so high a threshold
            mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
