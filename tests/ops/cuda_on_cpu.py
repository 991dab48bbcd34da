"""Runs the NVIDIA kernels' own source on the CPU: g++ compiles it behind ops/kernels/shim.h, a block as one thread."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ops.kernels.cuda_kernel import HERE, PARAMETERS, Kernel, shared_source

COMPILER = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler to run the CUDA source on the CPU with")


def compiled(kernels: Sequence[Kernel], folder: Path) -> list[Compiled]:
    """Each kernel as something to call, all from one source file: unrolled filters take a while to compile."""
    assert COMPILER is not None
    unique = list(dict.fromkeys(kernel.constants + kernel.family for kernel in kernels))
    text, named = shared_source(*PARAMETERS), set[str]()
    for kernel in kernels:
        entry = f"kernel{unique.index(kernel.constants + kernel.family)}"
        if entry not in named:
            text += kernel.source(entry, shared_code=False)
            named.add(entry)
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text(text)
    command = [COMPILER, "-std=c++17", "-O1", "-fPIC", "-shared", "-include", HERE / "shim.h", source, "-o", library]
    subprocess.run([str(part) for part in command], check=True)
    loaded = ctypes.CDLL(str(library))
    return [Compiled(k, loaded, f"kernel{unique.index(k.constants + k.family)}") for k in kernels]


class Compiled:
    def __init__(self, kernel: Kernel, library: ctypes.CDLL, entry: str) -> None:
        self.kernel, self._run = kernel, getattr(library, entry)
        assert getattr(library, f"{entry}_size")() == len(kernel.parameters)

    def run(self, out: Tensor, planes: int, *pointers: Tensor | None) -> Tensor:
        """Fill `out` from the tensors whose addresses open the parameters (None for one that is not given)."""
        assert out.is_contiguous() and all(t is None or t.is_contiguous() for t in pointers)
        parameters = bytearray(self.kernel.parameters)
        struct.pack_into(f"{len(pointers)}Q", parameters, 0, *(0 if t is None else t.data_ptr() for t in pointers))
        buffer = (ctypes.c_char * len(parameters)).from_buffer(parameters)
        self._run(buffer, ctypes.c_int(planes * self.kernel.blocks), ctypes.c_int(self.kernel.shared_words))
        return out


def storage(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def random(*size: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).to(dtype)
