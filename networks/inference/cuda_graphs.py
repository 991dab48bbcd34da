"""Whole runs of a synthesis network recorded once and repeated at once: CUDA graphs for live pictures.

On a GPU a small network waits for the CPU, which queues hundreds of kernels for each picture; a graph queues all of
them by one call. A run is recorded when the same kind of run has come WARM times, and if it is short: what is
recorded cannot be cancelled between two layers. All else, and all that cannot be recorded, runs layer by layer.
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

WARMUP_RUNS = 3  # runs that come first: kernels are compiled, tried and tuned in them
MAX_GRAPH_SECONDS = 0.1  # seconds: a longer run is worth cancelling
MAX_GRAPHS = 2  # graphs, each with the memory of a whole run

Work = Callable[[], SynthesisState]
Record = Callable[
    [Work], tuple[Callable[[], None], SynthesisState]
]  # work -> what repeats it, and the state that it fills


def record_cuda(work: Work) -> tuple[Callable[[], None], SynthesisState]:
    """A CUDA graph; what it allocates is its own. Raises RuntimeError for work that cannot be recorded."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may go on
        state = work()
    return graph.replay, state


@dataclass
class _GraphEntry:
    """One kind of run: how often it came, how quick it was, and its graph."""

    runs: int = 0
    seconds: float = float("inf")
    ws: Tensor | None = None
    state: SynthesisState | None = None
    repeat: Callable[[], None] | None = None


class CudaGraphCache:
    """The graphs of one network. `why` says in words why runs are not repeated as graphs, or is empty."""

    def __init__(self, synthesis: LayerwiseSynthesis, record: Record | None = None) -> None:
        """`record` records for the device of the network; by default CUDA is recorded, and nothing elsewhere."""
        self.reason = ""
        self._synthesis, self._record = synthesis, record
        self._kinds: OrderedDict[Hashable, _GraphEntry] = OrderedDict()
        self._weights: list[tuple[Tensor, int]] = []
        self._serving = ""

    @property
    def recorded(self) -> int:
        """How many graphs there are."""
        return sum(kind.repeat is not None for kind in self._kinds.values())

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
        """`Synthesis.run`, for inference; where a graph serves, `on_step` hears of the last step alone."""
        end = len(self._synthesis.steps) if stop is None else stop
        settings = {"stop": end, "noise_mode": noise_mode, "force_fp32": force_fp32}

        def layer_by_layer() -> SynthesisState:
            return self._synthesis.run(ws, start=start, on_step=on_step, **settings, **options)

        if start or noise_mode == "random" or torch.is_grad_enabled() or self._recorder(ws) is None:
            return layer_by_layer()
        kind = self._kind((tuple(ws.shape), ws.dtype, ws.device, *settings.values()))
        if kind.repeat is None and (kind.runs < WARMUP_RUNS or not self._recorded(kind, ws, settings)):
            return self._timed(kind, ws, layer_by_layer)
        assert kind.ws is not None and kind.state is not None and kind.repeat is not None
        kind.ws.copy_(ws)
        kind.repeat()
        state = _clone_state(kind.state)
        if on_step is not None:
            on_step(self._synthesis.steps[end - 1], state)
        return state

    @property
    def status(self) -> str:
        """What is worth saying of them, or nothing."""
        if self.recorded:
            return "repeated as CUDA graphs"
        return f"layer by layer, not as CUDA graphs: {self.reason}" if self.reason else ""

    def clear(self) -> None:
        """Give back the memory of all graphs; they are recorded anew."""
        self._kinds.clear()

    def _recorder(self, ws: Tensor) -> Record | None:
        return self._record or (record_cuda if ws.device.type == "cuda" and torch.version.cuda else None)

    def _kind(self, key: Hashable) -> _GraphEntry:
        """What is known of this kind of run with the weights as they are."""
        if not self._holds():
            self.clear()
            self.reason = ""
            kernels.why_not()  # the first question decides which form serves
            # Another view of each tensor keeps its memory from being given to a new one at the same address.
            self._weights = [(tensor.detach(), _version(tensor)) for tensor in self._tensors()]
            self._serving = kernels.serving()
        kind = self._kinds.setdefault(key, _GraphEntry())
        self._kinds.move_to_end(key)
        while len(self._kinds) > MAX_GRAPHS:
            self._kinds.popitem(last=False)
        return kind

    def _timed(self, kind: _GraphEntry, ws: Tensor, work: Work) -> SynthesisState:
        _synchronize(ws)
        began = time.perf_counter()
        state = work()
        _synchronize(ws)
        kind.runs += 1
        kind.seconds = min(kind.seconds, time.perf_counter() - began)
        return state

    def _recorded(self, kind: _GraphEntry, ws: Tensor, settings: dict[str, Any]) -> bool:
        """Record this kind of run, once; whether that was possible."""
        record = self._recorder(ws)
        if kind.runs > WARMUP_RUNS or record is None:  # it was not
            return False
        if kind.seconds > MAX_GRAPH_SECONDS:
            self.reason = f"a picture takes {kind.seconds * 1000:.0f} ms and can be cancelled between layers"
            return False
        kept = ws.clone()
        try:
            kind.repeat, kind.state = record(lambda: self._synthesis.run(kept, **settings))
        except RuntimeError as error:
            self.reason = f"recording failed: {' '.join(str(error).split())[:160]}"
            return False
        kind.ws, self.reason = kept, ""
        return True

    def _tensors(self) -> list[Tensor]:
        """What decides what a graph computes; the input's transform is read anew by every run."""
        named = [*self._synthesis.named_parameters(), *self._synthesis.named_buffers()]
        return [tensor for name, tensor in named if name != "input.transform"]

    def _holds(self) -> bool:
        """Whether the weights and the kernels are those of the graphs."""
        tensors = self._tensors()
        if len(tensors) != len(self._weights) or self._serving != kernels.serving():
            return False
        return all(
            tensor.data_ptr() == seen.data_ptr() and tensor.dtype == seen.dtype and _version(tensor) == version
            for tensor, (seen, version) in zip(tensors, self._weights, strict=True)
        )


def _version(tensor: Tensor) -> int:
    """Tensors made under inference_mode do not tell when they change."""
    return -1 if tensor.is_inference() else tensor._version


def _clone_state(state: SynthesisState) -> SynthesisState:
    """A state of its own memory: the graph's is written to by the next run."""
    x, image, shortcut = (None if t is None else t.clone() for t in (state.x, state.image, state.shortcut))
    assert x is not None
    return replace(state, x=x, image=image, shortcut=shortcut)


def _synchronize(ws: Tensor) -> None:
    if ws.device.type == "cuda":
        torch.cuda.synchronize(ws.device)
