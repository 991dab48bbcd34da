"""How TensorFlow's variables become our tensors: other orders of dimensions, turned kernels, a style's bias of 1."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch

from networks.checkpoints.contents import Changed, Numbers
from networks.errors import Flaw, plain
from networks.safe_pickle.lazy_tensor import StoredTensor


def dense(tensors: dict[str, Numbers], found: Mapping[str, StoredTensor], ours: str, theirs: str) -> None:
    tensors[f"{ours}.weight"] = shaped(found, f"{theirs}/weight", 2).transposed()
    tensors[f"{ours}.bias"] = shaped(found, f"{theirs}/bias", 1)


def convolution(
    tensors: dict[str, Numbers],
    found: Mapping[str, StoredTensor],
    ours: str,
    theirs: str,
    *,
    flip: bool = False,
    bias: bool = True,
) -> None:
    stored = shaped(found, f"{theirs}/weight", 4)
    k, _, inputs, outputs = stored.shape
    order: Callable[[torch.Tensor], torch.Tensor] = _flipped if flip else _unflipped
    tensors[f"{ours}.weight"] = Changed(stored, (outputs, inputs, k, k), order)
    if bias:
        tensors[f"{ours}.bias"] = shaped(found, f"{theirs}/bias", 1)


def styled(
    tensors: dict[str, Numbers], found: Mapping[str, StoredTensor], ours: str, theirs: str, *, flip: bool = False
) -> None:
    """A modulated convolution: its weight, its style's affine map, and its noise strength where it has one."""
    convolution(tensors, found, ours, theirs, flip=flip)
    tensors[f"{ours}.affine.weight"] = shaped(found, f"{theirs}/mod_weight", 2).transposed()
    bias = shaped(found, f"{theirs}/mod_bias", 1)
    tensors[f"{ours}.affine.bias"] = Changed(bias, bias.shape, lambda x: x + 1)
    if f"{theirs}/noise_strength" in found:
        tensors[f"{ours}.noise_strength"] = shaped(found, f"{theirs}/noise_strength", 0)


def _unflipped(weight: torch.Tensor) -> torch.Tensor:
    return weight.permute(3, 2, 0, 1)


def _flipped(weight: torch.Tensor) -> torch.Tensor:
    return weight.flip(0, 1).permute(3, 2, 0, 1)


def shaped(found: Mapping[str, StoredTensor], name: str, dimensions: int) -> StoredTensor:
    tensor = found.get(name)
    if tensor is None:
        raise Flaw(f"its variable {plain(name)} is missing")
    if len(tensor.shape) != dimensions:
        raise Flaw(f"its variable {plain(name)} has {len(tensor.shape)} dimensions instead of {dimensions}")
    return tensor


def block_sizes(found: Mapping[str, StoredTensor], pattern: str) -> list[int]:
    """The resolutions of the blocks, which must be 4, 8, 16 ... without a gap."""
    sizes = sorted({int(match[1][:7]) for name in found if (match := re.match(pattern, name))})
    if len(sizes) < 2 or sizes != [4 << i for i in range(len(sizes))]:
        raise Flaw("it has not the blocks of a StyleGAN2")
    return sizes


def layer_count(found: Mapping[str, StoredTensor], pattern: str) -> int:
    """How many variables of this pattern there are, numbered from 0 without a gap."""
    numbers = {int(match[1][:4]) for name in found if (match := re.fullmatch(pattern, name))}
    if numbers != set(range(len(numbers))):
        raise Flaw("the layers of its mapping network are not numbered in order")
    return len(numbers)
