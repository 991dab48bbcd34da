"""The contents of a network file, the same for every format: configs, and tensors that are still in the file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import torch

from networks.config import AnyConfig, DiscriminatorConfig, StyleGAN2Config, StyleGAN3Config
from networks.errors import FormatError
from networks.safe_pickle.lazy_tensor import LazyTensor

Role = Literal["G", "D", "G_ema"]
ROLES: tuple[Role, ...] = ("G", "D", "G_ema")
ChannelOrder = Literal["rgb", "bgr"]

# Buffers that are computed from the config; a file may leave them out.
DERIVED_BUFFERS = re.compile(r"(^|\.)(resample_filter|up_filter|down_filter|transform)$")


class TensorSource(Protocol):
    """A tensor that has not been read yet: a LazyTensor, or one to transform after reading."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def copy_into(self, target: torch.Tensor) -> None:
        """Read the elements into `target`, a tensor of this shape, of any dtype and on any device."""
        ...


@dataclass(frozen=True)
class TransformedTensor:
    """A stored tensor to which `transform` (flip, reshape, offset) is applied after reading; `shape` is the result."""

    stored: LazyTensor
    shape: tuple[int, ...]
    transform: Callable[[torch.Tensor], torch.Tensor]

    def copy_into(self, target: torch.Tensor) -> None:
        with torch.no_grad():
            target.copy_(self.transform(self.stored.read()))


def family_name(config: AnyConfig) -> str:
    """Return the family's name for people: "StyleGAN3-T", "StyleGAN3-R" or "StyleGAN2"."""
    if isinstance(config, StyleGAN3Config):
        return "StyleGAN3-R" if config.conv_kernel == 1 else "StyleGAN3-T"
    return "StyleGAN2"


@dataclass(frozen=True)
class StoredNetwork:
    """One network of a file: its config, and its tensors by their published names."""

    config: AnyConfig
    tensors: Mapping[str, TensorSource]

    @property
    def num_elements(self) -> int:
        """Number of elements in all tensors together."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())


@dataclass(frozen=True)
class CheckpointContents:
    """All networks of a file. `notes` are sentences about ignored parts of it; `classes` are names of the classes."""

    format: str
    networks: Mapping[Role, StoredNetwork]
    channel_order: ChannelOrder = "rgb"
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


ConfigKind = TypeVar("ConfigKind", StyleGAN3Config, StyleGAN2Config, DiscriminatorConfig)


def detect_family(names: Mapping[str, Any]) -> type[AnyConfig] | None:
    """Detect the family of a network by the names of its tensors; None for an unknown one.

    Not by its class's name, which several repositories use for different networks.
    """
    if "synthesis.input.freqs" in names:
        return StyleGAN3Config
    if "synthesis.b4.const" in names:
        return StyleGAN2Config
    if "b4.out.weight" in names:
        return DiscriminatorConfig
    return None


def make_config(kind: type[ConfigKind], options: Mapping[str, Any], *, ada: bool = False) -> ConfigKind:
    """Build a config from a file's constructor options, nested as stored. Raises FormatError for invalid options.

    `ada` selects the defaults of stylegan2-ada-pytorch, see `from_nvidia_kwargs`.
    """
    for value in options.values():
        for inner in value.values() if type(value) is dict else (value,):
            if not _is_option(inner):
                raise FormatError("it has an option that is no option")
    try:
        return kind.from_nvidia_kwargs(options, ada=ada)
    except (ValueError, TypeError) as error:
        sentence = str(error).partition(": known are")[0].rstrip(".?")
        raise FormatError(sentence[:1].lower() + sentence[1:]) from None


def _is_option(value: Any) -> bool:
    if type(value) in (list, tuple):
        return len(value) <= 64 and all(type(item) in (int, float) for item in value)
    return value is None or type(value) in (int, float, bool, str)
