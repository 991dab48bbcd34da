"""How TensorFlow's variables become our tensors: other orders of dimensions, turned kernels, a style's bias of 1."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch

from networks.checkpoints.contents import TensorSource, TransformedTensor
from networks.errors import FormatError, sanitize
from networks.safe_pickle.lazy_tensor import LazyTensor


def add_dense(tensors: dict[str, TensorSource], found: Mapping[str, LazyTensor], ours: str, theirs: str) -> None:
    tensors[f"{ours}.weight"] = get_variable(found, f"{theirs}/weight", 2).transpose()
    tensors[f"{ours}.bias"] = get_variable(found, f"{theirs}/bias", 1)


def add_conv(
    tensors: dict[str, TensorSource],
    found: Mapping[str, LazyTensor],
    ours: str,
    theirs: str,
    *,
    flip: bool = False,
    bias: bool = True,
) -> None:
    stored = get_variable(found, f"{theirs}/weight", 4)
    k, _, inputs, outputs = stored.shape
    order: Callable[[torch.Tensor], torch.Tensor] = _flip_to_oihw if flip else _to_oihw
    tensors[f"{ours}.weight"] = TransformedTensor(stored, (outputs, inputs, k, k), order)
    if bias:
        tensors[f"{ours}.bias"] = get_variable(found, f"{theirs}/bias", 1)


def add_modulated_conv(
    tensors: dict[str, TensorSource], found: Mapping[str, LazyTensor], ours: str, theirs: str, *, flip: bool = False
) -> None:
    """A modulated convolution: its weight, its style's affine map, and its noise strength where it has one."""
    add_conv(tensors, found, ours, theirs, flip=flip)
    tensors[f"{ours}.affine.weight"] = get_variable(found, f"{theirs}/mod_weight", 2).transpose()
    bias = get_variable(found, f"{theirs}/mod_bias", 1)
    tensors[f"{ours}.affine.bias"] = TransformedTensor(bias, bias.shape, lambda x: x + 1)
    if f"{theirs}/noise_strength" in found:
        tensors[f"{ours}.noise_strength"] = get_variable(found, f"{theirs}/noise_strength", 0)


def _to_oihw(weight: torch.Tensor) -> torch.Tensor:
    return weight.permute(3, 2, 0, 1)


def _flip_to_oihw(weight: torch.Tensor) -> torch.Tensor:
    return weight.flip(0, 1).permute(3, 2, 0, 1)


def get_variable(found: Mapping[str, LazyTensor], name: str, dimensions: int) -> LazyTensor:
    tensor = found.get(name)
    if tensor is None:
        raise FormatError(f"its variable {sanitize(name)} is missing")
    if len(tensor.shape) != dimensions:
        raise FormatError(f"its variable {sanitize(name)} has {len(tensor.shape)} dimensions instead of {dimensions}")
    return tensor


def block_sizes(found: Mapping[str, LazyTensor], pattern: str) -> list[int]:
    """The resolutions of the blocks, which must be 4, 8, 16 ... without a gap."""
    sizes = sorted({int(match[1][:7]) for name in found if (match := re.match(pattern, name))})
    if len(sizes) < 2 or sizes != [4 << i for i in range(len(sizes))]:
        raise FormatError("it has not the blocks of a StyleGAN2")
    return sizes


def layer_count(found: Mapping[str, LazyTensor], pattern: str) -> int:
    """How many variables of this pattern there are, numbered from 0 without a gap."""
    numbers = {int(match[1][:4]) for name in found if (match := re.fullmatch(pattern, name))}
    if numbers != set(range(len(numbers))):
        raise FormatError("the layers of its mapping network are not numbered in order")
    return len(numbers)
