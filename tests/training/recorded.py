"""Draws that were recorded with the reference's numbers, and networks that the numbers were made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from networks import LoadedCheckpoint, load_network

DATA = Path(__file__).resolve().parent.parent / "data"


class Recorded:
    """The normal numbers that the reference drew in one phase."""

    def __init__(self, path_noise: np.ndarray | None = None, layers: dict[str, np.ndarray] | None = None) -> None:
        self.path_noise, self.layers = path_noise, layers or {}

    def uniform(self, name: str, count: int) -> np.ndarray:
        raise AssertionError(f"{name} is not part of these numbers")

    gaussian = uniform

    def normal(self, name: str, *shape: int) -> Tensor:
        if name == "path noise":
            assert self.path_noise is not None
            return torch.from_numpy(self.path_noise)
        return torch.from_numpy(self.layers[name.removeprefix("noise ")])


def recorded_networks(name: str) -> LoadedCheckpoint:
    network = load_network(DATA / "networks" / f"{name}.pkl")
    for part in network.networks().values():
        part.train().requires_grad_(True)
    return network


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
