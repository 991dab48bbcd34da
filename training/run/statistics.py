"""The numbers of a training between two ticks: how many, their mean and their spread."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class Statistics:
    """Counts, sums and sums of squares by name; kept on the device until somebody asks."""

    def __init__(self) -> None:
        self._moments: dict[str, Tensor | list[float]] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Take values of any shape."""
        exact = torch.float32 if values.device.type == "mps" else torch.float64
        values = values.detach().flatten().to(exact)
        new = torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()])
        old = self._moments.get(name)
        self._moments[name] = new if old is None else torch.as_tensor(old, dtype=exact, device=new.device) + new

    def put(self, name: str, value: float) -> None:
        """Take one number in place of all before."""
        self._moments[name] = [1.0, value, value * value]

    def moments(self) -> dict[str, list[float]]:
        """[count, sum, sum of squares] by name, as plain numbers."""
        return {
            name: kept.tolist() if isinstance(kept, Tensor) else list(kept)
            for name, kept in sorted(self._moments.items())
        }

    def load_state_dict(self, moments: dict[str, list[float]]) -> None:
        """Continue from what `moments` gave."""
        self._moments = {name: list(kept) for name, kept in moments.items()}


def summarize(moments: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """{name: {num, mean, std}} as stats.jsonl has it; names without values are left out."""
    found = {}
    for name, (count, total, squares) in moments.items():
        if count == 0:
            continue
        mean = total / count
        spread = math.sqrt(max(squares / count - mean * mean, 0)) if count > 1 else 0.0
        found[name] = {"num": int(count), "mean": mean, "std": spread}
    return found
