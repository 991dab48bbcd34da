"""Measures free memory, so that a network too large for this machine is refused before it is allocated."""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that can still be allocated on a device; None where that is unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    free = [size for size in (_system_memory(), _cgroup_memory()) if size is not None]
    return min(free) if free else None


def _system_memory() -> int | None:
    """Return MemAvailable on Linux, free physical memory on Windows, None elsewhere."""
    if sys.platform == "win32":
        return _windows_memory()
    for line in _read_text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup_memory() -> int | None:
    """Return the memory left within a container's limit (cgroup v2); None without a limit."""
    limit, used = _read_text(Path("/sys/fs/cgroup/memory.max")), _read_text(Path("/sys/fs/cgroup/memory.current"))
    if not limit.strip().isdigit() or not used.strip().isdigit():
        return None
    cached = 0  # the page cache counts as used, but is reclaimed when memory is needed
    for line in _read_text(Path("/sys/fs/cgroup/memory.stat")).splitlines():
        if line.startswith("inactive_file "):
            cached = int(line.split()[1])
    return max(int(limit) - int(used) + cached, 0)


def _windows_memory() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "c", "d", "e", "f", "g")),
        ]

    status = Status()
    status.length = ctypes.sizeof(status)
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  (exists on Windows only)
    return int(status.free) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
