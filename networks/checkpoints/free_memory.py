"""How much memory is free, so that a network too large for this machine is refused before it is made."""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def free_memory(device: torch.device) -> int | None:
    """Bytes that a program may still take on a device; None where nobody tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    free = [size for size in (_system_memory(), _cgroup_memory()) if size is not None]
    return min(free) if free else None


def _system_memory() -> int | None:
    """Memory that the operating system could give: on Linux what it calls available, on Windows the free part."""
    if sys.platform == "win32":
        return _windows_memory()
    facts = _read_text(Path("/proc/meminfo"))
    for line in facts.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup_memory() -> int | None:
    """What a container's limit leaves (cgroup v2)."""
    limit, used = _read_text(Path("/sys/fs/cgroup/memory.max")), _read_text(Path("/sys/fs/cgroup/memory.current"))
    if not limit.strip().isdigit() or not used.strip().isdigit():
        return None
    cached = 0  # pages of files count as used, but are given back when somebody needs memory
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
