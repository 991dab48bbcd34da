"""The CUDA driver API for sharing GPU memory between processes, through cuda-bindings; without torch or OpenGL.

Used by both processes, and only if the renderer computes on an NVIDIA GPU. torch's CUDA builds for Linux depend on
cuda-bindings.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HANDLE_BYTES = 64  # size of an IPC handle


class GpuError(RuntimeError):
    """Frames cannot be shared on the GPU; the message says why."""


class Driver:
    """The driver on one GPU's primary context, which torch uses as well. All methods raise GpuError."""

    def __init__(self, ordinal: int | None = None, bus: str = "") -> None:
        """Select the GPU by torch's index or by PCI bus id."""
        if not sys.platform.startswith("linux"):
            raise GpuError("Only Linux lets two processes share a GPU's memory")
        try:
            self.api: Any = importlib.import_module("cuda.bindings.driver")
        except (ImportError, OSError) as error:
            raise GpuError("cuda-bindings is not installed (`pip install cuda-bindings` brings it)") from error
        self("cuInit", 0)
        self.device = (
            self("cuDeviceGet", ordinal) if ordinal is not None else self("cuDeviceGetByPCIBusId", bus.encode())
        )
        name = self("cuDeviceGetPCIBusId", HANDLE_BYTES, self.device)
        self.bus = bytes(name).split(b"\0")[0].decode()
        self._context = self("cuDevicePrimaryCtxRetain", self.device)

    def __call__(self, name: str, *arguments: Any) -> Any:
        """Call a driver function by name and return its results."""
        try:
            status, *values = getattr(self.api, name)(*arguments)
        except (RuntimeError, AttributeError) as error:  # no driver, or it lacks this function
            raise GpuError(f"NVIDIA's driver has no {name} ({' '.join(str(error).split())[:120]})") from error
        if int(status):
            words = bytes(self.api.cuGetErrorString(status)[1] or b"unknown").decode(errors="replace")
            raise GpuError(f"NVIDIA's driver failed in {name}: {words} (error {int(status)})")
        return values[0] if len(values) == 1 else values

    @contextmanager
    def make_current(self) -> Iterator[None]:
        """Make this GPU's context current on this thread inside the `with` block."""
        self("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self("cuCtxPopCurrent")

    def export_memory(self, address: Any) -> bytes:
        return _handle_bytes(self("cuIpcGetMemHandle", address))

    def export_event(self, event: Any) -> bytes:
        return _handle_bytes(self("cuIpcGetEventHandle", event))

    def create_event(self) -> Any:
        """Create an event that another process can open."""
        flags = self.api.CUevent_flags
        return self("cuEventCreate", int(flags.CU_EVENT_INTERPROCESS) | int(flags.CU_EVENT_DISABLE_TIMING))

    def open_memory(self, handle: bytes) -> Any:
        lazily = int(self.api.CUipcMem_flags.CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS)
        return self("cuIpcOpenMemHandle", _fill_handle(self.api.CUipcMemHandle(), handle), lazily)

    def open_event(self, handle: bytes) -> Any:
        return self("cuIpcOpenEventHandle", _fill_handle(self.api.CUipcEventHandle(), handle))

    def close(self) -> None:
        self("cuDevicePrimaryCtxRelease", self.device)


def _handle_bytes(handle: Any) -> bytes:
    """Read a handle through its address: some versions of the bindings hide the field."""
    return ctypes.string_at(int(handle.getPtr()), HANDLE_BYTES)


def _fill_handle(handle: Any, content: bytes) -> Any:
    if len(content) != HANDLE_BYTES:
        raise GpuError(f"A handle of {len(content)} bytes came where {HANDLE_BYTES} were due")
    ctypes.memmove(int(handle.getPtr()), content, HANDLE_BYTES)
    return handle
