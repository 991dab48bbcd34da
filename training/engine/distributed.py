"""Process group for distributed training: one process, or several started by torchrun that average their gradients."""

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
class ProcessGroup:
    """This process's rank among `size` processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files (rank 0)."""
        return self.rank == 0

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor in place by its mean over all processes, in one all-reduce."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Return the sum of each number over all processes."""
        if self.size == 1:
            return list(numbers)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        sums = torch.tensor(numbers, dtype=torch.float64, device=device)
        dist.all_reduce(sums)
        return sums.tolist()

    def broadcast(self, value: Any) -> Any:
        """Return the main process's value in every process. It must be picklable."""
        if self.size == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder, src=0)
        return holder[0]


def init_distributed(device: str) -> ProcessGroup:
    """Join the process group that torchrun started; a group of one without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ProcessGroup()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return ProcessGroup(dist.get_rank(), dist.get_world_size())


def barrier_and_exit(process_group: ProcessGroup, status: int) -> None:
    """Wait for all processes of the group, then exit at once with `status`. Returns if the group has one process.

    A normal interpreter exit was once aborted by torch's own threads, after all work was done.
    """
    if process_group.size > 1:
        with suppress(RuntimeError):  # another process failed, and has reported it
            dist.barrier()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def destroy() -> None:
    """Destroy torch's process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
