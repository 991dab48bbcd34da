"""Random numbers that depend on nothing but the seed, what they are for, and which picture of the run they are for.

Picture k of a run gets the same numbers whichever process draws them, in whatever batch, before or after a resume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Draws(Protocol):
    """What a loss may draw for the pictures of one round."""

    def uniform(self, name: str, count: int) -> np.ndarray:
        """[N, count] float64 in [0, 1)."""
        ...

    def gaussian(self, name: str, count: int) -> np.ndarray:
        """[N, count] float64, standard normal."""
        ...

    def normal(self, name: str, *shape: int) -> Tensor:
        """[N, *shape] float32, standard normal, on the device of the run."""
        ...


class KeyedDraws:
    """Draws for the pictures `samples` (places in the run, counted from 0) in one phase.

    Each is a Philox stream whose 128-bit key is a hash of (seed, phase, name) and the picture's place; fields of
    normal numbers on a GPU come from the GPU's own Philox, keyed alike.
    """

    def __init__(self, seed: int, phase: str, samples: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.seed, self.phase, self.samples, self.device = seed, phase, tuple(samples), torch.device(device)

    def uniform(self, name: str, count: int) -> np.ndarray:
        return self._each(name, lambda stream: stream.random(count))

    def gaussian(self, name: str, count: int) -> np.ndarray:
        return self._each(name, lambda stream: stream.standard_normal(count))

    def normal(self, name: str, *shape: int) -> Tensor:
        if self.device.type == "cuda":
            return torch.stack([self._on_gpu(name, sample, shape) for sample in self.samples])
        drawn = self._each(name, lambda stream: stream.standard_normal(shape, dtype=np.float32))
        return torch.from_numpy(drawn).to(self.device)

    def _each(self, name: str, draw: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
        purpose = keyed(self.seed, self.phase, name)
        return np.stack([draw(stream(purpose, sample)) for sample in self.samples])

    def _on_gpu(self, name: str, sample: int, shape: Sequence[int]) -> Tensor:
        generator = torch.Generator(self.device)
        generator.manual_seed(keyed(self.seed, self.phase, name, sample) >> 1)
        return torch.randn(tuple(shape), generator=generator, device=self.device)


def stream(purpose: int, index: int) -> np.random.Generator:
    """The numbers of one purpose (see `keyed`) and one index."""
    return np.random.Generator(np.random.Philox(key=np.array([purpose, index], dtype=np.uint64)))


def keyed(*parts: int | str) -> int:
    """64 bits from any words and numbers, equal on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")
