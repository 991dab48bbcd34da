"""Counter-based random numbers keyed by (seed, purpose, sample index), independent of batch size and process count.

Image k of a run gets the same numbers whichever process draws them, in whatever batch, before or after a resume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Rng(Protocol):
    """Random numbers for the N images of one micro-batch. `name` says what they are for; each name draws its own."""

    def uniform(self, name: str, count: int) -> np.ndarray:
        """Draw [N, count] float64 in [0, 1)."""
        ...

    def gaussian(self, name: str, count: int) -> np.ndarray:
        """Draw [N, count] float64, standard normal."""
        ...

    def normal(self, name: str, *shape: int) -> Tensor:
        """Draw [N, *shape] float32, standard normal, on the device of the run."""
        ...


class KeyedRng:
    """Rng for the images with indices `samples` (counted from the start of the run) in one phase.

    Each image has a Philox stream whose 128-bit key is a hash of (seed, phase, name) and the sample index. `normal`
    on a GPU uses the GPU's own Philox generator, seeded by a hash of the same four. Salmon et al. 2011 (Philox).
    """

    def __init__(self, seed: int, phase: str, samples: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.seed, self.phase, self.samples, self.device = seed, phase, tuple(samples), torch.device(device)

    def uniform(self, name: str, count: int) -> np.ndarray:
        return self._sample_streams(name, lambda stream: stream.random(count))

    def gaussian(self, name: str, count: int) -> np.ndarray:
        return self._sample_streams(name, lambda stream: stream.standard_normal(count))

    def normal(self, name: str, *shape: int) -> Tensor:
        if self.device.type == "cuda":
            return torch.stack([self._normal_on_gpu(name, sample, shape) for sample in self.samples])
        samples = self._sample_streams(name, lambda stream: stream.standard_normal(shape, dtype=np.float32))
        return torch.from_numpy(samples).to(self.device)

    def _sample_streams(self, name: str, draw: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
        purpose = fold_in(self.seed, self.phase, name)
        return np.stack([draw(philox_stream(purpose, sample)) for sample in self.samples])

    def _normal_on_gpu(self, name: str, sample: int, shape: Sequence[int]) -> Tensor:
        generator = torch.Generator(self.device)
        generator.manual_seed(fold_in(self.seed, self.phase, name, sample) >> 1)
        return torch.randn(tuple(shape), generator=generator, device=self.device)


def philox_stream(purpose: int, index: int) -> np.random.Generator:
    """Create the generator of one purpose (a key from `fold_in`) and one index."""
    return np.random.Generator(np.random.Philox(key=np.array([purpose, index], dtype=np.uint64)))


def fold_in(*parts: int | str) -> int:
    """Hash strings and integers to a 64-bit key, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")
