"""Builds networks from a file's contents: checks memory, names and shapes, then allocates, then loads the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from networks.architectures import discriminator, stylegan2, stylegan3
from networks.architectures.discriminator import Discriminator
from networks.checkpoints.contents import DERIVED_BUFFERS, Role, StoredNetwork
from networks.checkpoints.free_memory import free_memory
from networks.config import AnyConfig, StyleGAN2Config, StyleGAN3Config
from networks.errors import CheckpointError, corrupt, sanitize
from networks.safe_pickle.file_reader import RandomAccessFile

Generator = stylegan3.Generator | stylegan2.Generator

_MAX_TAPS = 96  # of a filter that is computed because the file leaves it out; the published ones have 24


def check_memory(file: RandomAccessFile, networks: Mapping[Role, StoredNetwork], device: torch.device) -> None:
    """Raise CheckpointError (memory) if the networks, in float32, need more memory than `device` has free."""
    needed = 4 * sum(network.num_elements for network in networks.values())
    free = free_memory(device)
    if free is not None and needed > free:
        raise CheckpointError(
            f"{sanitize(file.path.name)} needs about {_gigabytes(needed)} and {_gigabytes(free)} are free; close other "
            "programs or choose a smaller network.",
            "memory",
        )


def build_with_empty_weights(file: RandomAccessFile, role: Role, stored: StoredNetwork) -> Generator | Discriminator:
    """Build a network without allocating its weights, and compare its tensors' names and shapes with the file's.

    Raises CheckpointError (broken) that names the first difference.
    """
    if isinstance(stored.config, StyleGAN3Config):
        _check_filters(file, role, stored)
    with torch.random.fork_rng(devices=[]), _EmptyWeights():
        network = _construct(stored.config)
    state = network.state_dict()
    for name, tensor in state.items():
        if name not in stored.tensors:
            if not DERIVED_BUFFERS.search(name):
                raise corrupt(file.path, f"the tensor {name} of its {role} is missing")
        elif stored.tensors[name].shape != tuple(tensor.shape):
            shape, required = list(stored.tensors[name].shape), list(tensor.shape)
            raise corrupt(file.path, f"the tensor {name} of its {role} has shape {shape} where {required} is needed")
    for name in stored.tensors:
        if name not in state:
            raise corrupt(file.path, f"the tensor {sanitize(name)} of its {role} has no place in such a network")
    return network


class _EmptyWeights(TorchFunctionMode):
    """Give parameters their shape, but memory for one element only; other tensors, which are small, are computed.

    A file may claim any shape, so nothing of a claimed size is allocated before it is compared with the file.

    This is what `torch.device("meta")` is for, but any arithmetic on that device makes torch import its compiler, which
    takes a second whenever the program or the renderer starts.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.randn, torch.zeros):
            return torch.zeros(()).expand(*args)
        if func in (torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.clone) and 0 in args[0].stride():
            return args[0]  # remains without memory
        return func(*args, **(kwargs or {}))


def _check_filters(file: RandomAccessFile, role: Role, stored: StoredNetwork) -> None:
    """Compare the sizes of StyleGAN3's input and filters, which grow with its options, before anything is computed.

    Raises CheckpointError (broken).
    """
    try:
        first, table = stylegan3.layer_table(stored.config)  # type: ignore[arg-type]  # the caller checked the type
    except (ValueError, ArithmeticError) as error:
        raise corrupt(file.path, sanitize(str(error).rstrip("."), 120)) from None
    for name in ("synthesis.input.freqs", *(f"synthesis.{spec.name}.weight" for spec in table)):
        if name not in stored.tensors:
            raise corrupt(file.path, f"the tensor {name} of its {role} is missing")
    if stored.tensors["synthesis.input.freqs"].shape != (first.channels, 2):
        raise corrupt(file.path, f"the options of its {role} do not fit the frequencies of its input")
    for spec in table:
        down = (spec.down_taps,) * (2 if spec.down_radial else 1)
        for name, shape in (("up_filter", (spec.up_taps,)), ("down_filter", down)):
            tensor = stored.tensors.get(f"synthesis.{spec.name}.{name}")
            matches = shape[0] == 1 or (tensor.shape == shape if tensor else shape[0] <= _MAX_TAPS)
            if not matches:
                raise corrupt(file.path, f"the options of its {role} do not fit the filters of {spec.name}")


def _construct(config: AnyConfig) -> Generator | Discriminator:
    if isinstance(config, StyleGAN3Config):
        return stylegan3.Generator(config)
    if isinstance(config, StyleGAN2Config):
        return stylegan2.Generator(config)
    return discriminator.Discriminator(config)


def load_weights(
    file: RandomAccessFile, stored: StoredNetwork, network: Generator | Discriminator, device: torch.device
) -> Generator | Discriminator:
    """Allocate the weights of a network of `build_with_empty_weights` on `device`, and read them from the file.

    Raises CheckpointError: memory where the allocation fails, broken where the file cannot be read.
    """
    try:
        if network.state_dict().keys() == stored.tensors.keys():
            network = network.to_empty(device=device)
        else:  # the file leaves out some buffers, which the constructor computes
            with torch.random.fork_rng(devices=[]):
                network = _construct(stored.config).to(device)
        state = network.state_dict()
        for name, tensor in stored.tensors.items():
            tensor.copy_into(state[name])
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _out_of_memory(file, stored) from error
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise _out_of_memory(file, stored) from error
    return network.eval().requires_grad_(False)


def _out_of_memory(file: RandomAccessFile, stored: StoredNetwork) -> CheckpointError:
    return CheckpointError(
        f"{sanitize(file.path.name)} needs about {_gigabytes(4 * stored.num_elements)}, which this machine refused; "
        "close other programs or choose a smaller network.",
        "memory",
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
