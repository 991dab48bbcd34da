"""Statistics of a training between two ticks: count, mean and standard deviation by name."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class Statistics:
    """Accumulates counts, sums and sums of squares by name, on the device until they are read."""

    def __init__(self) -> None:
        self._moments: dict[str, Tensor | list[float]] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Accumulate values of any shape."""
        exact = torch.float32 if values.device.type == "mps" else torch.float64
        values = values.detach().flatten().to(exact)
        new = torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()])
        old = self._moments.get(name)
        self._moments[name] = new if old is None else torch.as_tensor(old, dtype=exact, device=new.device) + new

    def set_value(self, name: str, value: float) -> None:
        """Replace a statistic by a single value."""
        self._moments[name] = [1.0, value, value * value]

    def moments(self) -> dict[str, list[float]]:
        """Return {name: [count, sum, sum of squares]} as Python floats."""
        return {
            name: values.tolist() if isinstance(values, Tensor) else list(values)
            for name, values in sorted(self._moments.items())
        }

    def load_state_dict(self, moments: dict[str, list[float]]) -> None:
        """Continue from the result of `moments`."""
        self._moments = {name: list(values) for name, values in moments.items()}


def summarize(moments: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Convert moments to {name: {num, mean, std}}, as in stats.jsonl; names without values are left out."""
    result = {}
    for name, (count, total, squares) in moments.items():
        if count == 0:
            continue
        mean = total / count
        spread = math.sqrt(max(squares / count - mean * mean, 0)) if count > 1 else 0.0
        result[name] = {"num": int(count), "mean": mean, "std": spread}
    return result
