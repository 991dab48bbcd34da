"""A tensor that is still in its file: its place, type and shape are known and checked, its numbers are not yet read."""

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
    "bool": torch.uint8,  # read as numbers: a damaged file may hold bytes that are neither 0 nor 1
}

MAX_DIMENSIONS = 8


@dataclass(slots=True)
class Storage:
    """A row of `count` numbers of one type. `region` is None until it is known where in the file they lie."""

    dtype: str
    numel: int
    byte_range: ByteRange | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the numbers take."""
        return self.numel * DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True)
class LazyTensor:
    """A tensor as a view of a storage. `offset` and `strides` count elements.

    Raises ValueError where the view would reach outside of its storage, or repeats numbers to look larger than it is.
    """

    storage: Storage
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    def __post_init__(self) -> None:
        numbers = (*self.shape, *self.strides, self.offset)
        if not all(type(number) is int and 0 <= number < 2**48 for number in numbers):
            raise FormatError("a tensor has a size that is no size")
        if len(self.shape) != len(self.strides) or len(self.shape) > MAX_DIMENSIONS:
            raise FormatError(f"a tensor has {len(self.shape)} sizes and {len(self.strides)} strides")
        if self.numel > self.storage.numel or self.offset + self.storage_span > self.storage.numel:
            raise FormatError(f"a tensor of {self.numel} numbers reaches outside of the {self.storage.numel} stored")

    @classmethod
    def row_major(cls, storage: Storage, shape: tuple[int, ...]) -> LazyTensor:
        """The usual layout: the last dimension varies fastest."""
        return cls(storage, shape, row_major_strides(shape))

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def storage_span(self) -> int:
        """Numbers from the first to the last that the view touches."""
        if self.numel == 0:
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    def transpose(self) -> LazyTensor:
        """The same numbers with all dimensions in the opposite order."""
        return LazyTensor(self.storage, self.shape[::-1], self.strides[::-1], self.offset)

    def copy_into(self, target: torch.Tensor) -> None:
        """Read the numbers into `target`, a tensor of this shape of any type, on any device.

        Numbers that lie in `target`'s order and type are read straight into its memory.
        """
        byte_range = self.storage.byte_range
        if byte_range is None:
            raise FormatError("the numbers of a tensor are missing")
        if self.numel == 0:
            return
        dtype = DTYPES[self.dtype]
        place = byte_range.slice(self.offset * dtype.itemsize, self.storage_span * dtype.itemsize)
        straight = self.numel > 1 and self.strides == row_major_strides(self.shape)
        with torch.no_grad():
            if straight and target.dtype == dtype and target.device.type == "cpu" and target.is_contiguous():
                flat = target.detach().view(-1).view(torch.uint8)
                place.file.read_into(place.start, flat.numpy().data)
                return
            numbers = bytearray(place.length)
            place.file.read_into(place.start, memoryview(numbers))
            target.copy_(torch.frombuffer(numbers, dtype=dtype).as_strided(self.shape, self.strides))

    def read(self) -> torch.Tensor:
        """The tensor, in float32 on the CPU."""
        result = torch.empty(self.shape, dtype=torch.float32)
        self.copy_into(result)
        return result


def row_major_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a tensor without gaps whose last dimension varies fastest."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
