"""A tensor that is still in its file: position, dtype and shape are known and checked, its elements are not read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from networks.errors import FormatError
from networks.safe_pickle.file_reader import ByteRange

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.uint8,  # a damaged file may hold bytes that are neither 0 nor 1, which no bool tensor may have
}

MAX_DIMENSIONS = 8


@dataclass(slots=True)
class Storage:
    """One-dimensional array of `numel` elements of one dtype. `byte_range` is None until its position is known."""

    dtype: str
    numel: int
    byte_range: ByteRange | None = None

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.numel * DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True)
class LazyTensor:
    """A tensor as a view of a storage; `offset` and `strides` count elements.

    Raises ValueError for a view that reaches outside its storage, or that repeats elements so that it has more of them
    than its storage.
    """

    storage: Storage
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    def __post_init__(self) -> None:
        sizes = (*self.shape, *self.strides, self.offset)
        if not all(type(size) is int and 0 <= size < 2**48 for size in sizes):
            raise FormatError("a tensor has a size that is no size")
        if len(self.shape) != len(self.strides) or len(self.shape) > MAX_DIMENSIONS:
            raise FormatError(f"a tensor has {len(self.shape)} sizes and {len(self.strides)} strides")
        if self.numel > self.storage.numel or self.offset + self.storage_span > self.storage.numel:
            raise FormatError(f"a tensor of {self.numel} numbers reaches outside of the {self.storage.numel} stored")

    @classmethod
    def row_major(cls, storage: Storage, shape: tuple[int, ...]) -> LazyTensor:
        """Return the contiguous tensor at the storage's start, in C order: the last dimension varies fastest."""
        return cls(storage, shape, row_major_strides(shape))

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def storage_span(self) -> int:
        """Number of storage elements from the first to the last that the view covers."""
        if self.numel == 0:
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    def transpose(self) -> LazyTensor:
        """Return a view with all dimensions reversed, like torch's `.T` of a matrix."""
        return LazyTensor(self.storage, self.shape[::-1], self.strides[::-1], self.offset)

    def copy_into(self, target: torch.Tensor) -> None:
        """Read the elements into `target`, a tensor of this shape, of any dtype and on any device.

        If layout and dtype are equal and `target` is on the CPU, the file is read directly into its memory. Raises
        CheckpointError where the file cannot be read.
        """
        byte_range = self.storage.byte_range
        if byte_range is None:
            raise FormatError("the numbers of a tensor are missing")
        if self.numel == 0:
            return
        dtype = DTYPES[self.dtype]
        data = byte_range.slice(self.offset * dtype.itemsize, self.storage_span * dtype.itemsize)
        is_row_major = self.numel > 1 and self.strides == row_major_strides(self.shape)
        with torch.no_grad():
            if is_row_major and target.dtype == dtype and target.device.type == "cpu" and target.is_contiguous():
                flat = target.detach().view(-1).view(torch.uint8)
                data.file.read_into(data.start, flat.numpy().data)
                return
            buffer = bytearray(data.length)
            data.file.read_into(data.start, memoryview(buffer))
            target.copy_(torch.frombuffer(buffer, dtype=dtype).as_strided(self.shape, self.strides))

    def read(self) -> torch.Tensor:
        """Read the tensor as float32 on the CPU."""
        result = torch.empty(self.shape, dtype=torch.float32)
        self.copy_into(result)
        return result


def row_major_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in elements, of a contiguous tensor in C order."""
    strides: list[int] = []
    stride = 1
    for size in reversed(shape):
        strides.append(stride)
        stride *= max(size, 1)
    return tuple(reversed(strides))
