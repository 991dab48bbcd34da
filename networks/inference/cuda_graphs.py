"""CUDA graphs for live images: record a whole run of a synthesis network once, then replay it with one call.

On a GPU a small network is limited by the CPU, which launches hundreds of kernels for each image; a graph launches them
all at once. A run is recorded after WARMUP_RUNS runs with the same shapes and options, if it takes less than
MAX_GRAPH_SECONDS: a replay cannot be cancelled between layers. Other runs, and those whose recording fails, go layer by
layer.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from networks.architectures.layerwise import LayerwiseSynthesis, Step, SynthesisState
from ops import kernels

WARMUP_RUNS = 3  # before recording, in which kernels are compiled, checked and tuned
MAX_GRAPH_SECONDS = 0.1  # a longer run is worth cancelling
MAX_GRAPHS = 2  # each holds the memory of a whole run

Work = Callable[[], SynthesisState]
# work -> (function that replays it, state whose tensors every replay writes)
Record = Callable[[Work], tuple[Callable[[], None], SynthesisState]]


def record_cuda(work: Work) -> tuple[Callable[[], None], SynthesisState]:
    """Record `work` as a CUDA graph with memory of its own. Raises RuntimeError for work that cannot be recorded."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may use CUDA
        state = work()
    return graph.replay, state


@dataclass
class _GraphEntry:
    """The runs of one combination of shapes and options: number, shortest time, and graph once recorded."""

    runs: int = 0
    seconds: float = float("inf")
    ws: Tensor | None = None
    state: SynthesisState | None = None
    replay: Callable[[], None] | None = None


class CudaGraphCache:
    """The CUDA graphs of one synthesis network. `reason` says why runs are not replayed as graphs, or is empty."""

    def __init__(self, synthesis: LayerwiseSynthesis, record: Record | None = None) -> None:
        """`record` makes a graph of a run; by default `record_cuda` for a network on CUDA, and none elsewhere."""
        self.reason = ""
        self._synthesis, self._record = synthesis, record
        self._entries: OrderedDict[Hashable, _GraphEntry] = OrderedDict()
        self._weights: list[tuple[Tensor, int]] = []
        self._backend = ""

    @property
    def recorded(self) -> int:
        """Number of recorded graphs."""
        return sum(entry.replay is not None for entry in self._entries.values())

    def run(
        self,
        ws: Tensor,
        *,
        start: int = 0,
        stop: int | None = None,
        noise_mode: str = "const",
        force_fp32: bool = False,
        on_step: Callable[[Step, SynthesisState], None] | None = None,
        **options: Any,
    ) -> SynthesisState:
        """Like `LayerwiseSynthesis.run`, for inference; when a graph is replayed, `on_step` gets the last step only."""
        end = len(self._synthesis.steps) if stop is None else stop
        settings = {"stop": end, "noise_mode": noise_mode, "force_fp32": force_fp32}

        def layer_by_layer() -> SynthesisState:
            return self._synthesis.run(ws, start=start, on_step=on_step, **settings, **options)

        if start or noise_mode == "random" or torch.is_grad_enabled() or self._get_recorder(ws) is None:
            return layer_by_layer()
        entry = self._entry_for((tuple(ws.shape), ws.dtype, ws.device, *settings.values()))
        if entry.replay is None and (entry.runs < WARMUP_RUNS or not self._try_record(entry, ws, settings)):
            return self._run_timed(entry, ws, layer_by_layer)
        assert entry.ws is not None and entry.state is not None and entry.replay is not None
        entry.ws.copy_(ws)
        entry.replay()
        state = _clone_state(entry.state)
        if on_step is not None:
            on_step(self._synthesis.steps[end - 1], state)
        return state

    @property
    def status(self) -> str:
        """Description for the user of how runs are executed; empty where CUDA graphs are not used at all."""
        if self.recorded:
            return "repeated as CUDA graphs"
        return f"layer by layer, not as CUDA graphs: {self.reason}" if self.reason else ""

    def clear(self) -> None:
        """Free the memory of all graphs; they are recorded again when needed."""
        self._entries.clear()

    def _get_recorder(self, ws: Tensor) -> Record | None:
        return self._record or (record_cuda if ws.device.type == "cuda" and torch.version.cuda else None)

    def _entry_for(self, key: Hashable) -> _GraphEntry:
        """Return the entry for these shapes and options; drop all entries if weights or kernels have changed."""
        if not self._is_current():
            self.clear()
            self.reason = ""
            kernels.unavailable_reason()  # the first call decides which backend is used
            # Holding a view of each tensor prevents its memory from being reused for another at the same address.
            self._weights = [(tensor.detach(), _version(tensor)) for tensor in self._tensors()]
            self._backend = kernels.active_backend()
        entry = self._entries.setdefault(key, _GraphEntry())
        self._entries.move_to_end(key)
        while len(self._entries) > MAX_GRAPHS:
            self._entries.popitem(last=False)
        return entry

    def _run_timed(self, entry: _GraphEntry, ws: Tensor, work: Work) -> SynthesisState:
        _synchronize(ws)
        start_time = time.perf_counter()
        state = work()
        _synchronize(ws)
        entry.runs += 1
        entry.seconds = min(entry.seconds, time.perf_counter() - start_time)
        return state

    def _try_record(self, entry: _GraphEntry, ws: Tensor, settings: dict[str, Any]) -> bool:
        """Try once to record a run with these shapes and options; return whether it succeeded."""
        record = self._get_recorder(ws)
        if entry.runs > WARMUP_RUNS or record is None:  # it failed before
            return False
        if entry.seconds > MAX_GRAPH_SECONDS:
            self.reason = f"a picture takes {entry.seconds * 1000:.0f} ms and can be cancelled between layers"
            return False
        static_ws = ws.clone()
        try:
            entry.replay, entry.state = record(lambda: self._synthesis.run(static_ws, **settings))
        except RuntimeError as error:
            self.reason = f"recording failed: {' '.join(str(error).split())[:160]}"
            return False
        entry.ws, self.reason = static_ws, ""
        return True

    def _tensors(self) -> list[Tensor]:
        """Return the tensors whose change invalidates graphs; the input's transform is read again by every replay."""
        named = [*self._synthesis.named_parameters(), *self._synthesis.named_buffers()]
        return [tensor for name, tensor in named if name != "input.transform"]

    def _is_current(self) -> bool:
        """Whether weights and kernels are unchanged since the entries were made."""
        tensors = self._tensors()
        if len(tensors) != len(self._weights) or self._backend != kernels.active_backend():
            return False
        return all(
            tensor.data_ptr() == seen.data_ptr() and tensor.dtype == seen.dtype and _version(tensor) == version
            for tensor, (seen, version) in zip(tensors, self._weights, strict=True)
        )


def _version(tensor: Tensor) -> int:
    """Return the version counter; -1 for inference-mode tensors, which have none, so changes are not detected."""
    return -1 if tensor.is_inference() else tensor._version


def _clone_state(state: SynthesisState) -> SynthesisState:
    """Copy a state, as the graph's own tensors are overwritten by the next replay."""
    x, image, shortcut = (None if t is None else t.clone() for t in (state.x, state.image, state.shortcut))
    assert x is not None
    return replace(state, x=x, image=image, shortcut=shortcut)


def _synchronize(ws: Tensor) -> None:
    if ws.device.type == "cuda":
        torch.cuda.synchronize(ws.device)
