"""Opens network files of every kind as data, inspects, converts and saves them; errors are one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from networks.architectures.discriminator import Discriminator
from networks.checkpoints.bandlimit_safetensors import write_safetensors
from networks.checkpoints.contents import ChannelOrder, Role, StoredNetwork, family_name
from networks.checkpoints.download import Progress, discard_damaged
from networks.checkpoints.formats import read_contents
from networks.checkpoints.instantiate import Generator, build_with_empty_weights, check_memory, load_weights
from networks.checkpoints.resolve_source import expand_home, resolve_source
from networks.config import AnyConfig
from networks.errors import CheckpointError, not_a_checkpoint
from networks.safe_pickle.file_reader import RandomAccessFile
from ops import kernels


@dataclass(frozen=True)
class LoadedCheckpoint:
    """The networks of one file, in evaluation mode and without gradients; None for those that it does not hold."""

    G: Generator | None
    D: Discriminator | None
    G_ema: Generator | None
    path: Path  # the file that was read
    digest: str  # SHA-256 of that file
    channel_order: ChannelOrder = "rgb"  # of the images that the networks generate and read
    format: str = ""
    notes: tuple[str, ...] = ()  # sentences for the user about parts of the file that were ignored
    roles: tuple[Role, ...] = ()  # all that the file holds, including those that were not loaded
    classes: tuple[str, ...] = ()  # names of the classes; empty where the file has none

    @property
    def generator(self) -> Generator:
        """G_ema, or G if there is no G_ema. Raises CheckpointError if there is neither."""
        generator = self.G_ema if self.G_ema is not None else self.G
        if generator is None:
            raise not_a_checkpoint(self.path, "holds no generator, only D")
        return generator

    @property
    def family(self) -> str:
        """ "StyleGAN3-T", "StyleGAN3-R" or "StyleGAN2"."""
        return family_name(self.generator.config)

    def networks(self) -> dict[Role, Generator | Discriminator]:
        """Return the loaded networks by role."""
        by_role: dict[Role, Generator | Discriminator | None] = {"G": self.G, "D": self.D, "G_ema": self.G_ema}
        return {role: network for role, network in by_role.items() if network is not None}

    def save(self, path: str | Path, dtype: torch.dtype = torch.float32) -> Path:
        """Save in our format (.safetensors) and return the path. Equal networks give equal bytes.

        With dtype torch.float16, weights and constants are stored in half the size with 11 bits of precision; biases,
        averages, filters and other buffers stay float32. Raises CheckpointError where the file cannot be written,
        ValueError for another dtype.
        """
        return save_networks(path, self.networks(), self.channel_order, dtype, self.classes)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a file says about its networks, read without their weights."""

    path: Path
    format: str
    size: int  # bytes
    family: str  # "StyleGAN3-T", "StyleGAN3-R", "StyleGAN2"
    configs: Mapping[Role, AnyConfig]
    parameters: Mapping[Role, int]  # elements of each network's tensors, buffers included
    channel_order: ChannelOrder
    notes: tuple[str, ...]
    classes: tuple[str, ...] = ()  # names of the classes; empty where the file has none


@torch.inference_mode(False)  # inference-mode tensors have no version counter, which prepared layers need
def load_network(
    source: str | Path,
    *,
    device: str | torch.device = "cpu",
    channel_order: ChannelOrder | None = None,
    progress: Progress | None = None,
    first_of: Sequence[Role] = (),
) -> LoadedCheckpoint:
    """Load a network from a path, a URL (cached), or a run folder (its newest snapshot).

    Reads .pkl files of StyleGAN3 and StyleGAN2-ADA (PyTorch and TensorFlow), OpenMMLab's StyleGAN3 .pth and our
    .safetensors. Nothing in a file is ever run. `channel_order` overrides the file's; OpenMMLab's files, which do not
    state one, are rgb by default. `progress` is called with (bytes done, total bytes) of a download. With `first_of`,
    only the first of these roles that the file holds is loaded. Raises CheckpointError, and ValueError for an unknown
    device.
    """
    torch_device = check_device(device)
    kernels.load()  # adopts a compiled kernel, here only, so that a loaded network's results never change
    problem: CheckpointError | None = None
    for path in resolve_source(source, progress):
        try:
            network = _load(path, torch_device, channel_order, first_of)
        except CheckpointError as error:
            # The newest snapshot of a run may be incomplete, or just removed: try the one before.
            problem = problem or error
            discard_damaged(source, error)
            continue
        if problem is None:
            return network
        note = f"The newest snapshot could not be read, so this is {path.name}: {problem}"
        return LoadedCheckpoint(**{**network.__dict__, "notes": (*network.notes, note)})
    assert problem is not None  # resolve_source returns at least one file
    raise problem


def inspect_checkpoint(source: str | Path, *, channel_order: ChannelOrder | None = None) -> CheckpointInfo:
    """Return what a network file holds, without reading its weights.

    `source` and `channel_order` are as in `load_network`. Raises CheckpointError.
    """
    problem: CheckpointError | None = None
    for path in resolve_source(source):
        try:
            return _inspect(path, channel_order)
        except CheckpointError as error:
            problem = problem or error
            discard_damaged(source, error)
    assert problem is not None  # resolve_source returns at least one file
    raise problem


def convert(
    source: str | Path,
    dest: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    channel_order: ChannelOrder | None = None,
    progress: Progress | None = None,
    picture_only: bool = False,
) -> Path:
    """Convert any readable network to our format and return the path written; `dest` may be a folder.

    With `picture_only`, only the generator that makes the images is written (G_ema, or G if there is no G_ema), without
    the networks that only training needs. The other options are those of `load_network` and `LoadedCheckpoint.save`.
    Raises CheckpointError.
    """
    first_of: tuple[Role, ...] = ("G_ema", "G") if picture_only else ()
    network = load_network(source, channel_order=channel_order, progress=progress, first_of=first_of)
    target = expand_home(dest)
    with suppress(OSError):  # without permission to look; writing will then fail with a reason
        if target.is_dir():
            target = target / f"{network.path.stem}.safetensors"
    return network.save(target, dtype)


def save_networks(
    path: str | Path,
    networks: Mapping[Role, Generator | Discriminator],
    channel_order: ChannelOrder = "rgb",
    dtype: torch.dtype = torch.float32,
    classes: Sequence[str] = (),
) -> Path:
    """Save networks by role in our format and return the path; see `LoadedCheckpoint.save`.

    `classes` are the names of the classes, or empty.
    """
    target = expand_home(path)
    if dtype not in (torch.float32, torch.float16):
        raise ValueError(f"Weights are stored as torch.float32 or torch.float16, not {dtype}.")
    if target.suffix != ".safetensors":
        raise CheckpointError(
            f"{target} would not be recognised; give the file a name that ends in .safetensors.", "unwritable"
        )
    states: dict[Role, tuple[AnyConfig, Mapping[str, torch.Tensor]]] = {}
    for role, network in networks.items():
        states[role] = (network.config, network.state_dict())
    half: set[str] = set()
    if dtype == torch.float16:
        for role, network in networks.items():
            half |= {f"{role}.{name}" for name, weight in network.named_parameters() if _fits_half(weight)}
    write_safetensors(target, states, channel_order, frozenset(half), classes)
    return target


def _inspect(path: Path, channel_order: ChannelOrder | None) -> CheckpointInfo:
    with RandomAccessFile(path) as file:
        contents = read_contents(file, channel_order)
        for role, stored in contents.networks.items():
            build_with_empty_weights(file, role, stored)
        generator = contents.networks.get("G_ema") or contents.networks.get("G")
        return CheckpointInfo(
            path,
            contents.format,
            file.size,
            family_name(generator.config) if generator else "discriminator",
            {role: stored.config for role, stored in contents.networks.items()},
            {role: stored.num_elements for role, stored in contents.networks.items()},
            contents.channel_order,
            contents.notes,
            contents.classes,
        )


def _load(
    path: Path, device: torch.device, channel_order: ChannelOrder | None, first_of: Sequence[Role]
) -> LoadedCheckpoint:
    with RandomAccessFile(path) as file:
        contents = read_contents(file, channel_order)
        first = next((role for role in first_of if role in contents.networks), None)
        selected: dict[Role, StoredNetwork] = {
            role: stored for role, stored in contents.networks.items() if first is None or role == first
        }
        check_memory(file, selected, device)
        built = {role: build_with_empty_weights(file, role, stored) for role, stored in contents.networks.items()}
        networks = {role: load_weights(file, stored, built[role], device) for role, stored in selected.items()}
        digest = file.digest()
        file.check_unchanged()
    generators = {role: network for role, network in networks.items() if not isinstance(network, Discriminator)}
    discriminator = networks.get("D")
    return LoadedCheckpoint(
        generators.get("G"),
        discriminator if isinstance(discriminator, Discriminator) else None,
        generators.get("G_ema"),
        path,
        digest,
        contents.channel_order,
        contents.format,
        contents.notes,
        tuple(contents.networks),
        contents.classes,
    )


def _fits_half(weight: nn.Parameter) -> bool:
    """Whether to store a parameter in float16: only matrices and larger, as long as no value overflows."""
    return weight.ndim >= 2 and bool(weight.detach().abs().amax() < 65504) if weight.numel() else False


def check_device(device: str | torch.device) -> torch.device:
    """Return the torch device. Raises ValueError, one sentence, for one that this machine does not have."""
    try:
        checked = torch.device(device)
    except RuntimeError:
        raise ValueError(f"There is no device {device!r}; choose cpu, cuda, cuda:1 or mps.") from None
    if checked.type == "cuda" and (checked.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"The device {device} was asked for, but torch finds {torch.cuda.device_count()} such GPUs.")
    if checked.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("The device mps was asked for, but this machine has none.")
    return checked
