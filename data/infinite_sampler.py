"""Infinite sampler of dataset indices: shuffled, reproducible for a seed, and resumable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


class InfiniteSampler:
    """Infinite iterator over the indices of a dataset of `length` images.

    Cycles through a shuffled permutation. After each index is returned, it is swapped with one of the last
    `window_size * length` positions before it, so each pass has another order and no image is absent for long. The
    order is StyleGAN2-ADA's for the same seed. window_size=0 repeats one permutation, shuffle=False counts up.
    Raises ValueError for length < 1 or a window_size outside [0, 1].
    """

    def __init__(self, length: int, seed: int = 0, shuffle: bool = True, window_size: float = 0.5) -> None:
        if length < 1:
            raise ValueError(f"an order needs at least one picture, not {length}")
        if not 0 <= window_size <= 1:
            raise ValueError(f"window_size is {window_size}, but must be between 0 and 1")
        self.length = length
        self.position = 0  # number of indices returned so far
        self._random = np.random.RandomState(seed)
        self._ring = np.arange(length)
        self._window = 0
        if shuffle:
            self._random.shuffle(self._ring)
            self._window = round(length * window_size)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        position = self.position % self.length
        index = int(self._ring[position])
        if self._window >= 2:
            swap_position = (position - self._random.randint(self._window)) % self.length
            self._ring[position], self._ring[swap_position] = self._ring[swap_position], index
        self.position += 1
        return index

    def next_batch(self, count: int) -> np.ndarray:
        """Return the next `count` indices, int64 [count]. In distributed training, each process keeps its share."""
        return np.array([next(self) for _ in range(count)], dtype=np.int64)

    def state_dict(self) -> dict[str, Any]:
        """Return numbers and arrays from which `load_state_dict` continues exactly."""
        _, keys, place, *_ = self._random.get_state(legacy=True)
        return {
            "position": self.position,
            "ring": self._ring.copy(),
            "random_keys": np.asarray(keys, np.uint32).copy(),
            "random_place": int(place),  # type: ignore[arg-type]
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`. Raises ValueError for a dataset of another length."""
        ring = np.array(state["ring"], dtype=np.int64)
        if not np.array_equal(np.sort(ring), np.arange(self.length)):
            raise ValueError(f"the kept order is of {len(ring)} pictures, but the dataset has {self.length}")
        self._ring = ring
        self.position = int(state["position"])
        keys = np.array(state["random_keys"], dtype=np.uint32)
        self._random.set_state(("MT19937", keys, int(state["random_place"]), 0, 0.0))


def infinite_sampler(length: int, rank: int = 0, num_replicas: int = 1, **settings: Any) -> Iterator[int]:
    """Iterate over one process's share of an InfiniteSampler: every `num_replicas`-th index, starting at `rank`."""
    if not 0 <= rank < num_replicas:
        raise ValueError(f"rank is {rank}, but must be between 0 and {num_replicas - 1}")
    sampler = InfiniteSampler(length, **settings)
    while True:
        index = next(sampler)
        if (sampler.position - 1) % num_replicas == rank:
            yield index
