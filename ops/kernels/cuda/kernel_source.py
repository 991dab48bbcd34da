"""Source text and parameters of CUDA kernels; nothing here needs a GPU."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ops.polyphase import AxisResampling

HERE = Path(__file__).parent
THREADS = 256  # per block
BLOCKS_PER_SM = 4  # resident per multiprocessor; without this bound ptxas spills registers to fit eight
SHARED_LIMIT = 48 << 10  # bytes per block; every GPU has as much without opting in, and several blocks fit
PARAMETER_LIMIT = 4000  # bytes; CUDA passes up to 4 KB in constant memory, where a filter's taps are free operands
PARAMETERS = {"filtered_lrelu": "FilteredLrelu<{0}>", "upfirdn2d": "Upfirdn2d<{0}>", "bias_act": "BiasAct"}
SAMPLE_TYPES = {"float32": "float", "float16": "Half", "bfloat16": "BFloat16"}


class UnsupportedError(ValueError):
    """The kernels cannot do this; the message says what."""


@dataclass(frozen=True)
class Filter:
    """A filter's float32 values: shape (taps,) if separable, else (height, width)."""

    values: bytes
    shape: tuple[int, ...]

    def correlated(self, size: int | tuple[int, int], leading_zeros: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Return the flipped taps, in the order of the samples that they weight, padded with zeros to `size`.

        `leading_zeros` (y, x) come first, the rest of the padding last. Separable filters: [2, size], along y and along
        x. Others: [size, size], or [height, width] if `size` is a pair.
        """
        f = np.frombuffer(self.values, np.float32).reshape(self.shape)
        height, width = (size, size) if isinstance(size, int) else size
        if f.ndim == 1:
            pair = np.zeros([2, max(height, width)], np.float32)
            for row, zeros in zip(pair, leading_zeros, strict=True):
                row[zeros : zeros + f.size] = f[::-1]
            return pair
        y, x = leading_zeros
        padded = np.zeros([height, width], np.float32)
        padded[y : y + f.shape[0], x : x + f.shape[1]] = f[::-1, ::-1]
        return padded


@dataclass(frozen=True)
class HostResampler:
    """An `ops.filtered_lrelu.Resampler` whose filter's values are in main memory, so that it can be a cache key."""

    f: Filter
    y: AxisResampling
    x: AxisResampling


@dataclass(frozen=True)
class Kernel:
    """A launch except for the pointers, which are the first parameters, and the number of planes."""

    family: str  # "filtered_lrelu", "upfirdn2d" or "bias_act"
    constants: str  # C++ body of the struct of compile-time constants, from `struct_body`
    shared_words: int  # 4-byte words of shared memory per block
    blocks: int  # per plane
    parameters: bytes

    def source(self, entry: str = "bandlimit", *, shared_code: bool = True) -> str:
        """Return CUDA C++ that defines the kernel `entry`; without `shared_code`, only its own constants and entry."""
        sizes = f"{entry}_sizes"
        parameters = PARAMETERS[self.family].format(sizes)
        own = f"struct {sizes} {{\n{self.constants}}};\nENTRY({entry}, {parameters}, {self.family}<{sizes}>)\n"
        return (shared_source(self.family) if shared_code else "") + own


@lru_cache
def shared_source(*families: str) -> str:
    """Return common.cuh and the .cuh of each family."""
    names = ("common.cuh", *(f"{family}.cuh" for family in families))
    macros = f"#define THREADS {THREADS}\n#define BLOCKS_PER_SM {BLOCKS_PER_SM}\n"
    return macros + "".join((HERE / name).read_text(encoding="utf-8") for name in names)


def struct_body(sample: str, constants: Mapping[str, int | bool], nested: str = "") -> str:
    """Return the C++ body of a struct of compile-time constants; `sample` is the dtype that planes are stored in."""
    lines = [f"    using Sample = {SAMPLE_TYPES[sample]};\n", nested]
    for name, value in constants.items():
        cpp_type, text = ("bool", str(value).lower()) if isinstance(value, bool) else ("int", str(int(value)))
        lines.append(f"    static constexpr {cpp_type} {name} = {text};\n")
    return "".join(lines)


def pack_parameters(
    pointers: int, integers: Sequence[int], floats: Sequence[float], arrays: Sequence[np.ndarray] = ()
) -> bytes:
    """Pack a parameter struct: null pointers, then int32, float32 and arrays of float32.

    Raises UnsupportedError if it is larger than PARAMETER_LIMIT.
    """
    parts = [bytes(8 * pointers), struct.pack(f"{len(integers)}i{len(floats)}f", *integers, *floats)]
    packed = b"".join(parts + [np.ascontiguousarray(array, np.float32).tobytes() for array in arrays])
    packed += bytes(-len(packed) % 8)
    if len(packed) > PARAMETER_LIMIT:
        raise UnsupportedError(f"filters of {len(packed)} bytes")
    return packed


def odd_pitch(size: int) -> int:
    """Return the next odd number: rows of that pitch begin in different banks of shared memory."""
    return size | 1


def round_up(size: int, multiple: int) -> int:
    """Return the next multiple of `multiple`."""
    return -(-size // multiple) * multiple


def block_iterations(items: int) -> int:
    """Return how many iterations a block's threads need for `items` work items."""
    return -(-items // THREADS)
