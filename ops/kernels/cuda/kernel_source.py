"""What a launch of an NVIDIA kernel needs, its source text and its parameters; nothing here needs a GPU."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ops.polyphase import AxisResampling

HERE = Path(__file__).parent
THREADS = 256  # of a block
BLOCKS = 4  # of a multiprocessor at a time; not told so, ptxas starves each of registers for the sake of eight
SHARED_LIMIT = 48 << 10  # what every GPU gives a block without asking, and leaves room for several blocks
PARAMETER_LIMIT = 4000  # CUDA gives a kernel 4 KB of constants; a filter in them is a free operand
PARAMETERS = {"filtered_lrelu": "FilteredLrelu<{0}>", "upfirdn2d": "Upfirdn2d<{0}>", "bias_act": "BiasAct"}
SAMPLES = {"float32": "float", "float16": "Half", "bfloat16": "Brain"}


class Unfit(ValueError):
    """These kernels do not do such a thing; the message names it."""


@dataclass(frozen=True)
class Filter:
    """A filter's float32 values: shape (taps,) is separable, (height, width) is not."""

    values: bytes
    shape: tuple[int, ...]

    def correlated(self, size: int | tuple[int, int], front: tuple[int, int] = (0, 0)) -> np.ndarray:
        """What a window is multiplied with, in its order: behind `front` (y, x) zeros, and as many after as fit `size`.

        Separable: [2, size], along y and along x. Else [size, size], or [height, width] as given.
        """
        f = np.frombuffer(self.values, np.float32).reshape(self.shape)
        height, width = (size, size) if isinstance(size, int) else size
        if f.ndim == 1:
            pair = np.zeros([2, max(height, width)], np.float32)
            for row, zeros in zip(pair, front, strict=True):
                row[zeros : zeros + f.size] = f[::-1]
            return pair
        patch = np.zeros([height, width], np.float32)
        patch[front[0] : front[0] + f.shape[0], front[1] : front[1] + f.shape[1]] = f[::-1, ::-1]
        return patch


@dataclass(frozen=True)
class Leg:
    """One resampling: a filter and how both axes go."""

    f: Filter
    y: AxisResampling
    x: AxisResampling


@dataclass(frozen=True)
class Kernel:
    """Everything of a launch but the pointers, which open the parameters, and the number of planes."""

    family: str
    constants: str
    shared_words: int
    blocks: int  # of each plane
    parameters: bytes

    def source(self, entry: str = "bandlimit", *, shared_code: bool = True) -> str:
        """CUDA C++ that defines the kernel `entry`; without `shared_code` only what is its own."""
        sizes = f"{entry}_sizes"
        parameters = PARAMETERS[self.family].format(sizes)
        own = f"struct {sizes} {{\n{self.constants}}};\nENTRY({entry}, {parameters}, {self.family}<{sizes}>)\n"
        return (shared_source(self.family) if shared_code else "") + own


@lru_cache
def shared_source(*families: str) -> str:
    """common.cuh and the .cuh of each family."""
    names = ("common.cuh", *(f"{family}.cuh" for family in families))
    defined = f"#define THREADS {THREADS}\n#define BLOCKS {BLOCKS}\n"
    return defined + "".join((HERE / name).read_text(encoding="utf-8") for name in names)


def constants(sample: str, numbers: Mapping[str, int | bool], nested: str = "") -> str:
    """The body of a struct of compile-time numbers."""
    lines = [f"    using Sample = {SAMPLES[sample]};\n", nested]
    for name, value in numbers.items():
        kind, text = ("bool", str(value).lower()) if isinstance(value, bool) else ("int", str(int(value)))
        lines.append(f"    static constexpr {kind} {name} = {text};\n")
    return "".join(lines)


def pack(pointers: int, integers: Sequence[int], floats: Sequence[float], arrays: Sequence[np.ndarray] = ()) -> bytes:
    """A parameter struct: null pointers, then 32-bit integers, floats and arrays of floats. Raises Unfit."""
    parts = [bytes(8 * pointers), struct.pack(f"{len(integers)}i{len(floats)}f", *integers, *floats)]
    packed = b"".join(parts + [np.ascontiguousarray(array, np.float32).tobytes() for array in arrays])
    packed += bytes(-len(packed) % 8)
    if len(packed) > PARAMETER_LIMIT:
        raise Unfit(f"filters of {len(packed)} bytes")
    return packed


def odd(size: int) -> int:
    """The next odd number: rows of such a pitch begin in different banks of shared memory."""
    return size | 1


def rounded(size: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-size // unit) * unit


def turns(items: int) -> int:
    """How often a block goes round to do `items` pieces of work."""
    return -(-items // THREADS)
