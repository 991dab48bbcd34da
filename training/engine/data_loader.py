"""Prefetching data loader: threads read the next step's images, in an order that a resumed run continues exactly."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from data import Dataset, InfiniteSampler
from training.engine.distributed import ProcessGroup


@dataclass(frozen=True)
class MicroBatch:
    """Images that one process passes through a network at a time; the gradients of several are accumulated."""

    images: np.ndarray  # uint8 [N,C,H,W]
    labels: np.ndarray  # float32 [N,L]
    sample_indices: tuple[int, ...]  # [N], positions within the step's batch
    dataset_indices: tuple[int, ...]  # [N]


class PrefetchLoader:
    """Loads this process's micro-batches of each step. Every process samples all indices and reads only its own."""

    def __init__(
        self, dataset: Dataset, seed: int, batch: int, batch_gpu: int, process_group: ProcessGroup, workers: int
    ) -> None:
        self.dataset, self.batch, self.process_group = dataset, batch, process_group
        self.micro_batch_indices = [
            tuple(range(start, start + batch_gpu))
            for start in range(process_group.rank * batch_gpu, batch, batch_gpu * process_group.size)
        ]
        self._sampler = InfiniteSampler(len(dataset), seed=seed)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
        self._workers = workers
        self._sampler_state = self._sampler.state_dict()  # before the prefetched step was sampled
        self._prefetched: list[tuple[tuple[int, ...], tuple[int, ...], list[Future[Any]]]] | None = None

    def next(self) -> list[MicroBatch]:
        """Return the next step's micro-batches and prefetch the one after.

        Raises DatasetError if an image cannot be read any more.
        """
        prefetched = self._prefetched if self._prefetched is not None else self._submit_next()
        self._sampler_state = self._sampler.state_dict()
        micro_batches = []
        for sample_indices, dataset_indices, parts in prefetched:
            images, labels = zip(*(part.result() for part in parts), strict=True)
            micro_batches.append(
                MicroBatch(np.concatenate(images), np.concatenate(labels), sample_indices, dataset_indices)
            )
        self._prefetched = self._submit_next()
        return micro_batches

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which `load_state_dict` continues with the step that `next` would give."""
        return {
            key: torch.from_numpy(np.asarray(value, np.int64)) if isinstance(value, np.ndarray) else value
            for key, value in self._sampler_state.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`. Raises ValueError for a dataset of another length."""
        self._prefetched = None
        self._sampler.load_state_dict({k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in state.items()})
        self._sampler_state = self._sampler.state_dict()

    def close(self) -> None:
        """Stop the reader threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit_next(self) -> list[tuple[tuple[int, ...], tuple[int, ...], list[Future[Any]]]]:
        chosen = self._sampler.next_batch(self.batch)
        begun = []
        for places in self.micro_batch_indices:
            indices = chosen[list(places)]
            parts = np.array_split(indices, min(self._workers, len(indices)))
            read = [self._pool.submit(self.dataset.batch, part.tolist()) for part in parts]
            begun.append((places, tuple(indices.tolist()), read))
        return begun
