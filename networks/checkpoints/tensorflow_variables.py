"""Converts TensorFlow's variables to our tensors: order of dimensions, flipped kernels, 1 added to a style's bias."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch

from networks.checkpoints.contents import TensorSource, TransformedTensor
from networks.errors import FormatError, sanitize
from networks.safe_pickle.lazy_tensor import LazyTensor


def add_dense(tensors: dict[str, TensorSource], variables: Mapping[str, LazyTensor], name: str, scope: str) -> None:
    """Add the fully connected layer `name` to `tensors`, from the variables in `scope`."""
    tensors[f"{name}.weight"] = get_variable(variables, f"{scope}/weight", 2).transpose()
    tensors[f"{name}.bias"] = get_variable(variables, f"{scope}/bias", 1)


def add_conv(
    tensors: dict[str, TensorSource],
    variables: Mapping[str, LazyTensor],
    name: str,
    scope: str,
    *,
    flip: bool = False,
    bias: bool = True,
) -> None:
    """Add the convolution `name` to `tensors`, from the variables in `scope`; `flip` flips its kernel."""
    source = get_variable(variables, f"{scope}/weight", 4)
    k, _, in_channels, out_channels = source.shape
    transform: Callable[[torch.Tensor], torch.Tensor] = _flip_to_oihw if flip else _to_oihw
    tensors[f"{name}.weight"] = TransformedTensor(source, (out_channels, in_channels, k, k), transform)
    if bias:
        tensors[f"{name}.bias"] = get_variable(variables, f"{scope}/bias", 1)


def add_modulated_conv(
    tensors: dict[str, TensorSource], variables: Mapping[str, LazyTensor], name: str, scope: str, *, flip: bool = False
) -> None:
    """Add a modulated convolution: weight, bias, the affine layer of its styles, and its noise strength if any."""
    add_conv(tensors, variables, name, scope, flip=flip)
    tensors[f"{name}.affine.weight"] = get_variable(variables, f"{scope}/mod_weight", 2).transpose()
    bias = get_variable(variables, f"{scope}/mod_bias", 1)
    tensors[f"{name}.affine.bias"] = TransformedTensor(bias, bias.shape, lambda x: x + 1)
    if f"{scope}/noise_strength" in variables:
        tensors[f"{name}.noise_strength"] = get_variable(variables, f"{scope}/noise_strength", 0)


def _to_oihw(weight: torch.Tensor) -> torch.Tensor:
    return weight.permute(3, 2, 0, 1)


def _flip_to_oihw(weight: torch.Tensor) -> torch.Tensor:
    return weight.flip(0, 1).permute(3, 2, 0, 1)


def get_variable(variables: Mapping[str, LazyTensor], name: str, dimensions: int) -> LazyTensor:
    """Return a variable. Raises FormatError where it is missing or has another number of dimensions."""
    tensor = variables.get(name)
    if tensor is None:
        raise FormatError(f"its variable {sanitize(name)} is missing")
    if len(tensor.shape) != dimensions:
        raise FormatError(f"its variable {sanitize(name)} has {len(tensor.shape)} dimensions instead of {dimensions}")
    return tensor


def block_sizes(variables: Mapping[str, LazyTensor], pattern: str) -> list[int]:
    """Return the resolutions of the blocks. Raises FormatError unless they are 4, 8, 16 ... without a gap."""
    sizes = sorted({int(match[1][:7]) for name in variables if (match := re.match(pattern, name))})
    if len(sizes) < 2 or sizes != [4 << i for i in range(len(sizes))]:
        raise FormatError("it has not the blocks of a StyleGAN2")
    return sizes


def layer_count(variables: Mapping[str, LazyTensor], pattern: str) -> int:
    """Count the variables of this pattern. Raises FormatError unless they are numbered from 0 without a gap."""
    indices = {int(match[1][:4]) for name in variables if (match := re.fullmatch(pattern, name))}
    if indices != set(range(len(indices))):
        raise FormatError("the layers of its mapping network are not numbered in order")
    return len(indices)
