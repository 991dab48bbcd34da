"""Run the CUDA kernels on the CPU: g++ compiles their source with cuda_host_shim.h, one thread per block."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ops.kernels.cuda.kernel_source import PARAMETERS, Kernel, shared_source
from ops.kernels.cuda.launch import Launch

COMPILER = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler to run the CUDA source on the CPU with")


def compile_kernels(kernels: Sequence[Kernel], folder: Path) -> list[CompiledKernel]:
    """Compile all kernels as one source file; return one callable object per kernel."""
    text, names = translation_unit(kernels)
    (folder / "kernels.cpp").write_text(text)
    build(folder / "kernels.cpp", folder / "kernels.so", "-fPIC", "-shared")
    library = ctypes.CDLL(str(folder / "kernels.so"))
    return [CompiledKernel(kernel, library, name) for kernel, name in zip(kernels, names, strict=True)]


def translation_unit(kernels: Sequence[Kernel]) -> tuple[str, list[str]]:
    """Return source that defines the kernels, those with equal constants once, and each kernel's name in it."""
    keys = [kernel.family + kernel.constants for kernel in kernels]
    unique = list(dict.fromkeys(keys))
    text = shared_source(*PARAMETERS)
    for number, key in enumerate(unique):
        text += kernels[keys.index(key)].source(f"kernel{number}", shared_code=False)
    return text, [f"kernel{unique.index(key)}" for key in keys]


def build(source: Path, output: Path, *options: str) -> None:
    assert COMPILER is not None
    common = ["-std=c++20", "-O1", "-include", str(Path(__file__).with_name("cuda_host_shim.h")), *options]
    subprocess.run([COMPILER, *common, str(source), "-o", str(output)], check=True)


def cpu_loader(folder: Path) -> Callable[[Kernel], Launch]:
    """Return a function that compiles one kernel and returns its launch, like `ops.kernels.cuda.dispatch.Gpu.load`."""
    numbers = itertools.count()

    def load(kernel: Kernel) -> Launch:
        subfolder = folder / str(next(numbers))
        subfolder.mkdir()
        return compile_kernels([kernel], subfolder)[0].launch

    return load


class CompiledKernel:
    """A kernel compiled for the CPU."""

    def __init__(self, kernel: Kernel, library: ctypes.CDLL, entry: str) -> None:
        self.kernel, self._run = kernel, getattr(library, entry)
        size = getattr(library, f"{entry}_size")()
        assert size == len(kernel.parameters), (
            f"the C++ struct has {size} bytes, the parameters {len(kernel.parameters)}"
        )

    def run(self, out: Tensor, planes: int, *pointers: Tensor | None) -> Tensor:
        """Launch for `planes` planes and return `out`; `pointers` are the first parameters, None for a null pointer."""
        assert out.is_contiguous() and all(t is None or t.is_contiguous() for t in pointers)
        parameters = bytearray(self.kernel.parameters)
        struct.pack_into(f"{len(pointers)}Q", parameters, 0, *(0 if t is None else t.data_ptr() for t in pointers))
        self.launch(planes * self.kernel.blocks, parameters)
        return out

    def launch(self, blocks: int, parameters: bytearray) -> None:
        buffer = (ctypes.c_char * len(parameters)).from_buffer(parameters)
        self._run(buffer, ctypes.c_int(blocks), ctypes.c_int(self.kernel.shared_words))


def find_races(kernels: Sequence[Kernel], folder: Path) -> str:
    """Run two blocks of each kernel with five threads under the thread sanitizer; return its report, "" for no races.

    Skips the test if there is no thread sanitizer.
    """
    text, names = translation_unit(kernels)
    text += "#include <cstdio>\nint main() {\n    static std::vector<float> data(1 << 20, 0.5f);\n"
    for kernel, name in zip(kernels, names, strict=True):
        values = ",".join(str(byte) for byte in kernel.parameters)
        pointers = 3 if kernel.family == "filtered_lrelu" else 2
        text += f"    {{ alignas(8) unsigned char p[] = {{{values}}};\n"
        for index in range(pointers):  # inputs share memory, the output is the last pointer
            offset = 1 << 19 if index == pointers - 1 else 0
            text += f"      *(float**)(p + {8 * index}) = data.data() + {offset};\n"
        text += f"      {name}(p, {min(2, kernel.blocks)}, {kernel.shared_words}); }}\n"
    source, program = folder / "races.cpp", folder / "races"
    source.write_text(text + '    std::puts("done");\n}\n')
    try:
        build(source, program, "-fsanitize=thread", "-DBANDLIMIT_THREADS=5", "-pthread")
    except subprocess.CalledProcessError:
        pytest.skip("this C++ compiler has no thread sanitizer")
    result = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    if "done" not in result.stdout and "ThreadSanitizer: data race" not in result.stderr:
        pytest.skip(f"the thread sanitizer does not run here: {result.stderr[:200]}")
    return result.stderr


def random(*size: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).to(dtype)
