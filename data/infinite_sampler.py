"""The order in which a training sees its pictures: endless, shuffled more at first than later, the same for a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


class InfiniteSampler:
    """Endless indices of a dataset of `length` pictures.

    A shuffled ring is walked round and round; every picture that has been shown changes places with one of the last
    `window_size` x `length` before it, so that no two rounds are alike and no picture is long away. This is the order
    of the published training runs for the same seed; `window_size=0` repeats one round, `shuffle=False` counts.
    """

    def __init__(self, length: int, seed: int = 0, shuffle: bool = True, window_size: float = 0.5) -> None:
        if length < 1:
            raise ValueError(f"an order needs at least one picture, not {length}")
        if not 0 <= window_size <= 1:
            raise ValueError(f"window_size is {window_size}, but must be between 0 and 1")
        self.length = length
        self.position = 0  # how many indices were given so far
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
        """The next `count` indices, int64 [count]. Of several processes each takes all and uses its share."""
        return np.array([next(self) for _ in range(count)], dtype=np.int64)

    def state_dict(self) -> dict[str, Any]:
        """Numbers and arrays from which `restore` continues exactly here."""
        _, keys, place, *_ = self._random.get_state(legacy=True)
        return {
            "position": self.position,
            "ring": self._ring.copy(),
            "random_keys": np.asarray(keys, np.uint32).copy(),
            "random_place": int(place),  # type: ignore[arg-type]
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state()` was taken. Raises ValueError where it belongs to a dataset of another length."""
        ring = np.array(state["ring"], dtype=np.int64)
        if not np.array_equal(np.sort(ring), np.arange(self.length)):
            raise ValueError(f"the kept order is of {len(ring)} pictures, but the dataset has {self.length}")
        self._ring = ring
        self.position = int(state["position"])
        keys = np.array(state["random_keys"], dtype=np.uint32)
        self._random.set_state(("MT19937", keys, int(state["random_place"]), 0, 0.0))


def infinite_sampler(length: int, rank: int = 0, num_replicas: int = 1, **settings: Any) -> Iterator[int]:
    """Each process's share of one Order: process `rank` gets every `num_replicas`-th index of it."""
    if not 0 <= rank < num_replicas:
        raise ValueError(f"rank is {rank}, but must be between 0 and {num_replicas - 1}")
    sampler = InfiniteSampler(length, **settings)
    while True:
        index = next(sampler)
        if (sampler.position - 1) % num_replicas == rank:
            yield index
