"""Launch compiled kernels through NVIDIA's driver, in torch's own context and streams.

Nothing here waits for the GPU or allocates on it when launching, so launches can be recorded in a CUDA graph.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

SHARED_SIZE, SHARED_PREFERENCE = 8, 9  # CUfunction_attribute
WINDOWS = sys.platform == "win32"
DEFAULT_SHARED_LIMIT = 48 << 10  # bytes of shared memory per block without opting in


class DriverError(RuntimeError):
    """NVIDIA's driver is missing, or refused something."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """Load and initialize the driver. Raises DriverError."""
    name = "nvcuda.dll" if WINDOWS else "libcuda.so.1"
    try:
        loaded = ctypes.CDLL(name)
    except OSError as error:
        raise DriverError(f"NVIDIA's driver ({name}) was not found; install it, or choose another device.") from error
    _check(loaded, "cuInit", loaded.cuInit(0))
    return loaded


class Context:
    """The primary context of a device, which torch uses; devices are 0, 1, ... in torch's order."""

    def __init__(self, device: int) -> None:
        self._library = library()
        handle = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(device))
        self._context = ctypes.c_void_p()
        # Never released: torch keeps it until the process ends.
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), handle)

    def load(self, image: bytes, entry: str) -> Function:
        """Load the kernel `entry` from a cubin or PTX."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        with self.current():
            self._call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(image + b"\0"))
            self._call("cuModuleGetFunction", ctypes.byref(function), module, entry.encode())
        return Function(self, function)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current: threads of torch's backward pass may have none."""
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _call(self, name: str, *arguments: object) -> None:
        _check(self._library, name, getattr(self._library, name)(*arguments))


class Function:
    """A loaded kernel."""

    def __init__(self, context: Context, handle: ctypes.c_void_p) -> None:
        self._context, self._handle = context, handle
        self._shared = DEFAULT_SHARED_LIMIT

    def prefer_shared_memory(self, size: int) -> None:
        """Request `size` bytes of shared memory per block, and as much shared memory instead of cache as possible."""
        with self._context.current():
            if size > self._shared:
                self._context._call("cuFuncSetAttribute", self._handle, SHARED_SIZE, ctypes.c_int(size))
                self._shared = size
            self._context._call("cuFuncSetAttribute", self._handle, SHARED_PREFERENCE, ctypes.c_int(100))

    def launch(self, blocks: int, threads: int, shared: int, stream: int, parameters: bytearray) -> None:
        """Queue the kernel on a stream (torch's `cuda_stream`). `parameters` is one struct, which the driver copies."""
        buffer = (ctypes.c_char * len(parameters)).from_buffer(parameters)
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(buffer))
        grid, block = (ctypes.c_uint(blocks), _ONE, _ONE), (ctypes.c_uint(threads), _ONE, _ONE)
        with self._context.current():
            self._context._call(
                "cuLaunchKernel",
                self._handle,
                *grid,
                *block,
                ctypes.c_uint(shared),
                ctypes.c_void_p(stream),
                pointers,
                None,
            )


_ONE = ctypes.c_uint(1)


def _check(loaded: ctypes.CDLL, name: str, status: int) -> None:
    if status:
        text = ctypes.c_char_p()
        loaded.cuGetErrorString(status, ctypes.byref(text))
        words = (text.value or b"unknown").decode(errors="replace")
        raise DriverError(f"NVIDIA's driver failed in {name}: {words} (error {status}).")
