"""The results of the reference implementations for the published-format files of tests/data/networks, and the files.

They were computed on a CPU with torch 2.13 (one thread). Against itself, with another convolution backend, the
reference differs by about 1e-6 of an array's maximum; whole networks are held to 1e-4.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from networks import load_network

DATA = Path(__file__).parent.parent / "data" / "networks"
ALIAS_FREE = ("sg3t_64_uncond", "sg3r_32_uncond")
NAMES = (*ALIAS_FREE, "sg2_32_uncond")


@cache
def reference(name: str) -> dict[str, np.ndarray]:
    """Return the arrays of a file of results, read once."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


@cache
def network(name: str) -> Any:
    """Load a published-format file, once; a test that modifies a network must restore it."""
    return load_network(str(DATA / f"{name}.pkl"))


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def max_error(actual: Tensor, expected: np.ndarray) -> float:
    """Return the largest difference, relative to the largest magnitude of `expected`."""
    assert tuple(actual.shape) == expected.shape
    difference = np.abs(actual.detach().double().numpy() - expected).max()
    return float(difference / max(np.abs(expected).max(), 1e-30))
