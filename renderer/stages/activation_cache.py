"""Cached states between layers, so that a render resumes at the first layer that a change affects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from networks.architectures.layerwise import SynthesisState
from renderer.models.model_cache import LoadedModel
from session.scene import Matrix

MAX_CACHE_BYTES = 2 << 30  # on a CPU; four times as much on a GPU
FREE_MEMORY_DIVISOR = 4  # and at most a quarter of the free memory


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """Everything that determines the outputs of the layers."""

    loaded: LoadedModel
    rows: Tensor  # w of each layer, [num_ws, w_dim] on the CPU
    noise: tuple[str, int] | None  # mode and seed; None if the network has no noise
    transform: Matrix | None  # of the network's input; None: identity
    force_fp32: bool
    kernels: str  # the active backend; results of one backend agree bit for bit

    def first_changed_layer(self, other: LayerInputs) -> int:
        """Index of the first layer whose output differs with the other inputs; the number of layers if none does."""
        if self.loaded is not other.loaded or self.force_fp32 != other.force_fp32 or self.transform != other.transform:
            return 0
        if self.noise != other.noise or self.kernels != other.kernels:
            return 0
        changed = (self.rows != other.rows).any(dim=1).tolist()
        for step in self.loaded.steps:
            if any(changed[row] for row in step.w_indices):
                return step.index
        return len(self.loaded.steps)


@dataclass
class CachedRun:
    """The cached states of one run, by the number of layers done; it may have been cancelled on the way."""

    inputs: LayerInputs
    states: dict[int, SynthesisState] = field(default_factory=dict)

    def resume_point(self, inputs: LayerInputs, stop: int) -> int:
        """Number of layers to skip: the position of the last valid cached state up to `stop`; 0 if there is none."""
        limit = min(self.inputs.first_changed_layer(inputs), stop)
        return max((done for done in self.states if done <= limit), default=0)

    def with_inputs(self, inputs: LayerInputs) -> CachedRun:
        """Return a run with these inputs and the states of this one that are still valid."""
        limit = self.inputs.first_changed_layer(inputs)
        return CachedRun(inputs, {done: state for done, state in self.states.items() if done <= limit})


def total_bytes(states: Iterable[SynthesisState]) -> int:
    """Total memory of the states in bytes; storage that they share counts once."""
    sizes: dict[int, int] = {}
    for state in states:
        for tensor in (state.x, state.image, state.shortcut):
            if tensor is not None:
                storage = tensor.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def choose_cached_layers(costs: Sequence[float], sizes: Sequence[int], budget: int) -> frozenset[int]:
    """Choose the layers after which to cache the state, within a budget of bytes.

    costs[i] is the time of layer i, sizes[i] the bytes of what comes out of it. Every layer is taken to be equally
    likely to change next; each pick saves the most expected time for its bytes.
    """
    elapsed = [0.0]
    for cost in costs:
        elapsed.append(elapsed[-1] + cost)
    chosen: set[int] = set()

    def expected_saving(kept: set[int]) -> float:
        # A change at layer j resumes from the last cached state at or before j.
        return sum(elapsed[max((done for done in kept if done <= layer), default=0)] for layer in range(len(costs) + 1))

    while True:
        base, remaining = expected_saving(chosen), budget - sum(sizes[done - 1] for done in chosen)
        options = [done for done in range(1, len(costs) + 1) if done not in chosen and 0 < sizes[done - 1] <= remaining]
        gains = {done: (expected_saving(chosen | {done}) - base) / sizes[done - 1] for done in options}
        best = max(gains, key=gains.__getitem__, default=None)
        if best is None or gains[best] <= 0:
            return frozenset(chosen)
        chosen.add(best)


def cache_budget(device: torch.device, free: int | None) -> int:
    """Bytes for cached states on a device with `free` bytes of free memory (None: unknown)."""
    largest = MAX_CACHE_BYTES * (4 if device.type == "cuda" else 1)
    return largest if free is None else min(largest, free // FREE_MEMORY_DIVISOR)
