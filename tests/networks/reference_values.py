"""What the reference implementations compute from the published-format files of tests/data/networks, and the files.

The numbers were made on a CPU with torch 2.13 (one thread). Against itself, with another convolution backend, the
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
def numbers(name: str) -> dict[str, np.ndarray]:
    """Every array of a file of numbers, read once."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


@cache
def network(name: str) -> Any:
    """G, G_ema and D of a published-format file, read once; a test that changes one puts it back."""
    return load_network(str(DATA / f"{name}.pkl"))


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def error(actual: Tensor, expected: np.ndarray) -> float:
    """Largest difference relative to the expected array's maximum."""
    assert tuple(actual.shape) == expected.shape
    difference = np.abs(actual.detach().double().numpy() - expected).max()
    return float(difference / max(np.abs(expected).max(), 1e-30))
