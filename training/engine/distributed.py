"""The processes that train together: alone, or several started by torchrun, which then average what they find."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Team:
    """This process is number `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of some numbers over all processes."""
        if self.size == 1:
            return list(numbers)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        sums = torch.tensor(numbers, dtype=torch.float64, device=device)
        dist.all_reduce(sums)
        return sums.tolist()

    def agreed(self, value: Any) -> Any:
        """The leader's value, in every process; plain data only."""
        if self.size == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder, src=0)
        return holder[0]


def join(device: str) -> Team:
    """Join the processes that torchrun has started; alone where it has not."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Team()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return Team(dist.get_rank(), dist.get_world_size())


def end(team: Team, status: int) -> None:
    """After a training that all have ended: leave together and at once, where there are others.

    A process that ends the usual way was once aborted by torch's own threads, after all its work was done.
    """
    if team.size > 1:
        with suppress(RuntimeError):  # where one of the others has failed, it has said so
            dist.barrier()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def leave() -> None:
    """Say goodbye to the others, where there are some."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
