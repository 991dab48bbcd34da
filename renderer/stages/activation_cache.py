"""What is kept between layers, so that a change resumes from the first layer that it touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from networks.architectures.layerwise import SynthesisState
from renderer.models.model_cache import LoadedModel
from session.scene import Matrix

MAX_CACHE_BYTES = 2 << 30  # bytes kept at most on a CPU; four times as much on a GPU
FREE_MEMORY_DIVISOR = 4  # and at most one part in so many of what is free


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """All that decides what comes out of the layers."""

    loaded: LoadedModel
    rows: Tensor  # w of each layer, [num_ws, w_dim] on the CPU
    noise: tuple[str, int] | None  # mode and seed; None where the network has no noise
    transform: Matrix | None  # at the network's input; None: untouched
    force_fp32: bool
    kernels: str  # what computes; results agree bit for bit under one name

    def first_changed_layer(self, other: LayerInputs) -> int:
        """How many of the first layers give the same with the other inputs."""
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
    """One pass through the layers, as far as it went: what came out of some of them, by how many were done."""

    inputs: LayerInputs
    states: dict[int, SynthesisState] = field(default_factory=dict)

    def resume_point(self, inputs: LayerInputs, stop: int) -> int:
        """How many layers need not be run for these inputs; 0 where all must."""
        limit = min(self.inputs.first_changed_layer(inputs), stop)
        return max((done for done in self.states if done <= limit), default=0)

    def with_inputs(self, inputs: LayerInputs) -> CachedRun:
        """A run with these inputs that begins with what is still valid of this one."""
        limit = self.inputs.first_changed_layer(inputs)
        return CachedRun(inputs, {done: state for done, state in self.states.items() if done <= limit})


def total_bytes(states: Iterable[SynthesisState]) -> int:
    """Memory of states together; what several of them share counts once."""
    sizes: dict[int, int] = {}
    for state in states:
        for tensor in (state.x, state.image, state.shortcut):
            if tensor is not None:
                storage = tensor.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def choose_cached_layers(costs: Sequence[float], sizes: Sequence[int], budget: int) -> frozenset[int]:
    """After which layers to keep what came out, within a budget of bytes.

    costs[i] is the time of layer i, sizes[i] the bytes of what comes out of it. Every layer is taken to be equally
    likely to change next; each pick saves the most expected time for its bytes.
    """
    before = [0.0]
    for cost in costs:
        before.append(before[-1] + cost)
    chosen: set[int] = set()

    def saved(kept: set[int]) -> float:
        # A change at layer j resumes from the deepest boundary at or before j.
        return sum(before[max((done for done in kept if done <= layer), default=0)] for layer in range(len(costs) + 1))

    while True:
        base, room = saved(chosen), budget - sum(sizes[done - 1] for done in chosen)
        options = [done for done in range(1, len(costs) + 1) if done not in chosen and 0 < sizes[done - 1] <= room]
        gains = {done: (saved(chosen | {done}) - base) / sizes[done - 1] for done in options}
        best = max(gains, key=gains.__getitem__, default=None)
        if best is None or gains[best] <= 0:
            return frozenset(chosen)
        chosen.add(best)


def cache_budget(device: torch.device, free: int | None) -> int:
    """Bytes for boundaries on a device that has this much free."""
    largest = MAX_CACHE_BYTES * (4 if device.type == "cuda" else 1)
    return largest if free is None else min(largest, free // FREE_MEMORY_DIVISOR)
