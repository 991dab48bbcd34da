"""Pictures for one step after another, read ahead by threads, in an order that a resumed training takes up exactly."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from data import Dataset, Order
from training.engine.distributed import Team


@dataclass(frozen=True)
class Round:
    """What one process learns from at a time. `places` are the pictures' places within the step."""

    images: np.ndarray  # uint8 [N,C,H,W]
    labels: np.ndarray  # float32 [N,L]
    places: tuple[int, ...]
    indices: tuple[int, ...]  # in the dataset


class Feed:
    """Each step's rounds of this process. Every process walks the whole order and reads only its share."""

    def __init__(self, dataset: Dataset, seed: int, batch: int, batch_gpu: int, team: Team, workers: int) -> None:
        self.dataset, self.batch, self.team = dataset, batch, team
        self.shares = [
            tuple(range(start, start + batch_gpu))
            for start in range(team.rank * batch_gpu, batch, batch_gpu * team.size)
        ]
        self._order = Order(len(dataset), seed=seed)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
        self._workers = workers
        self._before = self._order.state()  # the order as it was before the step that is being read ahead
        self._ahead: list[tuple[tuple[int, ...], tuple[int, ...], list[Future[Any]]]] | None = None

    def next(self) -> list[Round]:
        """The next step's rounds. Raises DatasetError where a picture cannot be read any more."""
        now = self._ahead if self._ahead is not None else self._begin()
        self._before = self._order.state()
        rounds = []
        for places, indices, parts in now:
            images, labels = zip(*(part.result() for part in parts), strict=True)
            rounds.append(Round(np.concatenate(images), np.concatenate(labels), places, indices))
        self._ahead = self._begin()
        return rounds

    def state(self) -> dict[str, Any]:
        """From which `restore` continues with the step that `next` would give."""
        return {
            key: torch.from_numpy(np.asarray(value, np.int64)) if isinstance(value, np.ndarray) else value
            for key, value in self._before.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Raises ValueError where the dataset has another length."""
        self._ahead = None
        self._order.restore({k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in state.items()})
        self._before = self._order.state()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> list[tuple[tuple[int, ...], tuple[int, ...], list[Future[Any]]]]:
        chosen = self._order.take(self.batch)
        begun = []
        for places in self.shares:
            indices = chosen[list(places)]
            parts = np.array_split(indices, min(self._workers, len(indices)))
            read = [self._pool.submit(self.dataset.batch, part.tolist()) for part in parts]
            begun.append((places, tuple(indices.tolist()), read))
        return begun
