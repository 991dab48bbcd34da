"""Compile CUDA C++ at run time with the NVRTC library that comes with torch: no nvcc, no compiler, no headers.

Compiled kernels are cached in $BANDLIMIT_CACHE/kernels or ~/.cache/bandlimit/kernels, by source and GPU architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch

from ops.kernels.cpu.build import cache_folder
from session.atomic_write import atomic_write

OPTIONS = ("--std=c++17",)
PATTERNS = (
    "nvidia/cu*/lib/libnvrtc.so.*",  # CUDA 13 wheels
    "nvidia/cuda_nvrtc/lib/libnvrtc.so.*",  # CUDA 12 wheels
    "torch/lib/libnvrtc*.so*",
    "torch/lib/nvrtc64_*.dll",  # Windows
    "nvidia/cu*/bin/**/nvrtc64_*.dll",
    "nvidia/cuda_nvrtc/bin/nvrtc64_*.dll",
)


class NvrtcError(RuntimeError):
    """NVRTC is missing, or refused to compile; `details` is its log."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def compile_cached(source: str, architecture: str) -> bytes:
    """Return machine code (a cubin) of CUDA C++ for an architecture such as "sm_90", from the cache if it is there.

    For a GPU newer than NVRTC, return PTX for the newest one known, which the driver compiles. Raises NvrtcError.
    """
    compiler = library()
    known = sorted(compiler.architectures())
    number = int(architecture.removeprefix("sm_"))
    supported = [n for n in known if n <= number]
    if not supported:
        raise NvrtcError(
            f"NVRTC {compiler.version} knows no GPU as old as {architecture}; a torch for an older CUDA brings one."
        )
    target = architecture if number in supported else f"compute_{supported[-1]}"
    text = "\n".join((compiler.version, target, *OPTIONS, source))
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.cubin"
    with contextlib.suppress(OSError):
        if cached := (cache_folder() / name).read_bytes():
            return cached
    image = compiler.compile(source, target)
    with contextlib.suppress(OSError):  # a full or read-only disk costs only time
        cache_folder().mkdir(parents=True, exist_ok=True)
        with atomic_write(cache_folder() / name) as part:
            part.write_bytes(image)
    return image


@lru_cache(maxsize=1)
def library() -> Nvrtc:
    """Load the NVRTC of this installation. Raises NvrtcError if there is none."""
    failures = []
    for path in candidates():
        try:
            return Nvrtc(path)
        except (OSError, AttributeError) as error:
            failures.append(f"{path}: {error}")
    raise NvrtcError(
        "No NVRTC library was found beside torch; `pip install nvidia-cuda-nvrtc` brings it.", "\n".join(failures)
    )


def candidates() -> Iterator[str]:
    """Yield paths of NVRTC libraries: those of torch's own CUDA version first, the system's last."""
    paths = []
    for folder in dict.fromkeys(sys.path):
        for pattern in PATTERNS:
            paths += [p for p in sorted(Path(folder or ".").glob(pattern)) if not re.search(r"builtins|\.alt", p.name)]
    major = (torch.version.cuda or "").split(".")[0]
    yield from map(str, sorted(paths, key=lambda path: not (major and re.search(rf"(\.so\.|64_){major}", path.name))))
    if system := ctypes.util.find_library("nvrtc"):
        yield system


class Nvrtc:
    """A loaded NVRTC library. Raises OSError or AttributeError if the file is not one."""

    def __init__(self, path: str) -> None:
        self.path = path
        if sys.platform == "win32" and os.sep in path:
            os.add_dll_directory(str(Path(path).parent))  # where its builtins are
        self._library = ctypes.CDLL(path)
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        for name in ("nvrtcCompileProgram", "nvrtcGetCUBIN", "nvrtcGetPTX", "nvrtcGetSupportedArchs"):
            getattr(self._library, name)
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def architectures(self) -> list[int]:
        """Return the numbers NN of all sm_NN that it compiles for."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        return list(numbers)

    def compile(self, source: str, target: str, *options: str, log: list[str] | None = None) -> bytes:
        """Return a cubin for target sm_NN, PTX for compute_NN; append its output to `log`. Raises NvrtcError."""
        program = ctypes.c_void_p()
        self._call(
            "nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"bandlimit.cu", ctypes.c_int(0), None, None
        )
        try:
            all_options = [option.encode() for option in (f"--gpu-architecture={target}", *OPTIONS, *options)]
            array = (ctypes.c_char_p * len(all_options))(*all_options)
            status = self._library.nvrtcCompileProgram(program, ctypes.c_int(len(all_options)), array)
            compiler_log = self._read(program, "nvrtcGetProgramLog").decode(errors="replace").strip("\0\n")
            if log is not None:
                log.append(compiler_log)
            if status:
                raise NvrtcError(f"NVRTC {self.version} could not compile a kernel for {target}.", compiler_log)
            return self._read(program, "nvrtcGetCUBIN" if target.startswith("sm_") else "nvrtcGetPTX")
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, name: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"{name}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(name, program, buffer)
        return buffer.raw

    def _call(self, name: str, *arguments: object) -> None:
        if status := getattr(self._library, name)(*arguments):
            text = self._library.nvrtcGetErrorString(status).decode()
            raise NvrtcError(f"NVRTC failed in {name}: {text}.")
