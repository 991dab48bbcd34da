"""Source of the built-in dataset: planets of four types, any number and resolution, reproducible for a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np

from data.errors import DatasetError
from data.planets.render import CLASSES, render
from data.sources import Source

Value = TypeVar("Value")


class Planets(Source):
    """`count` planets of `resolution` pixels; image `index` depends only on seed, index and resolution."""

    classes = CLASSES

    def __init__(self, count: int, resolution: int, seed: int = 0) -> None:
        if not 8 <= resolution <= 4096:
            raise DatasetError(f"Planets of {resolution} pixels cannot be drawn: choose 8 to 4096.")
        if count < 1:
            raise DatasetError(f"{count} planets are no dataset: choose at least one.")
        if seed < 0:
            raise DatasetError(f"The seed is {seed}, but must not be negative.")
        self.resolution, self.seed = resolution, seed
        self.names = _LazySequence(count, "planet {}".format)
        self.labels = _LazySequence(count, self.class_index)
        self.fixed_shape = (resolution, resolution, 3)

    def class_index(self, index: int) -> int:
        """Return the class number of a planet, an index into CLASSES."""
        return int(self._rng(index).integers(len(CLASSES)))

    def read(self, index: int, payload: Any) -> np.ndarray:
        """Render planet `index`, uint8 [H,W,3]."""
        random = self._rng(index)
        return render(random, int(random.integers(len(CLASSES))), self.resolution)

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, index])))


class _LazySequence(Sequence[Value], Generic[Value]):
    """Values computed on access, so that millions of planets cost nothing before they are rendered."""

    def __init__(self, count: int, value: Callable[[int], Value]) -> None:
        self._count, self._value = count, value

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Value: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Value]: ...
    def __getitem__(self, index: int | slice) -> Value | Sequence[Value]:
        if isinstance(index, slice):
            return [self._value(place) for place in range(self._count)[index]]
        return self._value(range(self._count)[index])
