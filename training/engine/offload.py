"""Offloading of Adam's state and G_ema to CPU memory: slower steps, bit-identical results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

SLICE_ELEMENTS = 1 << 24  # parameter elements whose state is on the GPU at a time


class OffloadedAdam(torch.optim.Adam):
    """Adam with one parameter group, whose state is moved to the parameters' device slice by slice in each step.

    Its `state_dict` is Adam's, so a state written with offloading can be loaded without it, and vice versa.
    """

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None and len(self.param_groups) == 1
        group = self.param_groups[0]
        all_parameters: list[nn.Parameter] = group["params"]
        try:
            for part in parameter_slices(all_parameters, SLICE_ELEMENTS):
                group["params"] = part
                for parameter in part:
                    self._move(parameter, parameter.device)
                super().step()
                for parameter in part:
                    self._move(parameter, torch.device("cpu"))
        finally:
            group["params"] = all_parameters

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)  # moves each state to its parameter's device
        for parameter in self.param_groups[0]["params"]:
            self._move(parameter, torch.device("cpu"))

    def _move(self, parameter: nn.Parameter, device: torch.device) -> None:
        state = self.state.get(parameter, {})
        for name, value in state.items():
            if isinstance(value, Tensor) and name != "step":  # Adam keeps its step count on the CPU
                state[name] = value.to(device)


def parameter_slices(parameters: Sequence[nn.Parameter], max_elements: int) -> Iterator[list[nn.Parameter]]:
    """Split parameters, in order, into lists of at most `max_elements` elements, or of one larger parameter."""
    current: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if current and size + parameter.numel() > max_elements:
            yield current
            current, size = [], 0
        current.append(parameter)
        size += parameter.numel()
    if current:
        yield current


@contextmanager
def on_device(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Move a network to `device` for the `with` block, and back afterwards."""
    home = next(network.parameters()).device
    network.to(device)
    try:
        yield
    finally:
        network.to(home)
