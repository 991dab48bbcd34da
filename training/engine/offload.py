"""Adam's state and G_ema in the machine's memory instead of the GPU's: slower steps, the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

SLICE = 1 << 24  # parameters that have their state on the GPU at a time


class OffloadedAdam(torch.optim.Adam):
    """Adam, with one group of parameters, whose state visits the parameters' device slice by slice.

    Its `state_dict` is Adam's, so a state written with offloading can be continued without it, and the other way.
    """

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None and len(self.param_groups) == 1
        group = self.param_groups[0]
        everyone: list[nn.Parameter] = group["params"]
        try:
            for part in slices(everyone, SLICE):
                group["params"] = part
                for parameter in part:
                    self._move(parameter, parameter.device)
                super().step()
                for parameter in part:
                    self._move(parameter, torch.device("cpu"))
        finally:
            group["params"] = everyone

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)  # which puts everything beside its parameter
        for parameter in self.param_groups[0]["params"]:
            self._move(parameter, torch.device("cpu"))

    def _move(self, parameter: nn.Parameter, device: torch.device) -> None:
        state = self.state.get(parameter, {})
        for name, value in state.items():
            if isinstance(value, Tensor) and name != "step":  # the count is on the CPU always
                state[name] = value.to(device)


def slices(parameters: Sequence[nn.Parameter], most: int) -> Iterator[list[nn.Parameter]]:
    """All of them in their order, in lists of at most `most` numbers, or of one parameter."""
    part: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if part and size + parameter.numel() > most:
            yield part
            part, size = [], 0
        part.append(parameter)
        size += parameter.numel()
    if part:
        yield part


@contextmanager
def visiting(network: nn.Module, device: torch.device) -> Iterator[None]:
    """The network on this device while the `with` block runs, and back where it was afterwards."""
    home = next(network.parameters()).device
    network.to(device)
    try:
        yield
    finally:
        network.to(home)
