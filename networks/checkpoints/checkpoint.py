"""Opens network files of every kind as data, saves them in our own format, and says in one sentence what is wrong."""

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
    """The networks of one file, ready to run: in evaluation mode, without gradients. None where the file has none."""

    G: Generator | None
    D: Discriminator | None
    G_ema: Generator | None
    path: Path  # the file that was read
    digest: str  # SHA-256 of that file
    channel_order: ChannelOrder = "rgb"  # of the pictures that the networks make and read
    format: str = ""
    notes: tuple[str, ...] = ()  # sentences worth telling about what was left aside
    roles: tuple[Role, ...] = ()  # that the file holds, those that were not read included
    classes: tuple[str, ...] = ()  # names of the classes; empty where the file names none

    @property
    def generator(self) -> Generator:
        """G_ema, or G where there is no G_ema. Raises CheckpointError where there is neither."""
        found = self.G_ema if self.G_ema is not None else self.G
        if found is None:
            raise not_a_checkpoint(self.path, "holds no generator, only D")
        return found

    @property
    def family(self) -> str:
        """ "StyleGAN3-T", "StyleGAN3-R" or "StyleGAN2"."""
        return family_name(self.generator.config)

    def networks(self) -> dict[Role, Generator | Discriminator]:
        """Those that there are."""
        found: dict[Role, Generator | Discriminator | None] = {"G": self.G, "D": self.D, "G_ema": self.G_ema}
        return {role: network for role, network in found.items() if network is not None}

    def save(self, path: str | Path, dtype: torch.dtype = torch.float32) -> Path:
        """Write our format (.safetensors); the path written. Equal networks give equal bytes.

        With dtype torch.float16 weights take half the room and keep 11 bits; biases, averages, filters and other
        buffers stay as they are. Raises CheckpointError where it cannot be written, ValueError for another dtype.
        """
        return save_networks(path, self.networks(), self.channel_order, dtype, self.classes)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a file says about itself, read without its weights."""

    path: Path
    format: str
    size: int  # bytes
    family: str  # "StyleGAN3-T", "StyleGAN3-R", "StyleGAN2"
    configs: Mapping[Role, AnyConfig]
    parameters: Mapping[Role, int]  # numbers in each network, buffers included
    channel_order: ChannelOrder
    notes: tuple[str, ...]
    classes: tuple[str, ...] = ()  # names of the classes; empty where the file names none


@torch.inference_mode(False)  # tensors made under inference_mode do not tell when they change
def load_network(
    source: str | Path,
    *,
    device: str | torch.device = "cpu",
    channel_order: ChannelOrder | None = None,
    progress: Progress | None = None,
    first_of: Sequence[Role] = (),
) -> LoadedCheckpoint:
    """Open a network: a path, a URL (cached), or a run folder (its newest snapshot).

    Reads .pkl of StyleGAN3 and StyleGAN2-ADA, TensorFlow's too, OpenMMLab's StyleGAN3 .pth and our .safetensors.
    Nothing in a file is ever run. `channel_order` says what the file does not: OpenMMLab's are rgb unless told.
    `progress` gets (bytes done, bytes in all) of a download. With `first_of` only the first of these networks that the
    file has takes memory. Raises CheckpointError.
    """
    where = check_device(device)
    kernels.ready()  # a compiled kernel is taken up between networks only, so that a network's results stay the same
    problem: CheckpointError | None = None
    for path in resolve_source(source, progress):
        try:
            network = _load(path, where, channel_order, first_of)
        except CheckpointError as error:
            # The newest snapshot of a run may be half written, or just removed: then the one before serves.
            problem = problem or error
            discard_damaged(source, error)
            continue
        if problem is None:
            return network
        note = f"The newest snapshot could not be read, so this is {path.name}: {problem}"
        return LoadedCheckpoint(**{**network.__dict__, "notes": (*network.notes, note)})
    assert problem is not None  # locate gives at least one file
    raise problem


def inspect_checkpoint(source: str | Path, *, channel_order: ChannelOrder | None = None) -> CheckpointInfo:
    """What a network file holds, without reading its weights. Raises CheckpointError."""
    problem: CheckpointError | None = None
    for path in resolve_source(source):
        try:
            return _inspect(path, channel_order)
        except CheckpointError as error:
            problem = problem or error
            discard_damaged(source, error)
    assert problem is not None  # locate gives at least one file
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
    """Write any readable network in our format; the path written. Raises CheckpointError.

    With `picture_only` the generator that makes the pictures is written alone (G_ema, or G where there is none); D and
    G, which only training needs, stay out.
    """
    first_of: tuple[Role, ...] = ("G_ema", "G") if picture_only else ()
    network = load_network(source, channel_order=channel_order, progress=progress, first_of=first_of)
    target = expand_home(dest)
    with suppress(OSError):  # what may not be looked at is no folder; writing there will say why
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
    """Write networks by role in our format; see `Network.save`. `classes` are the names of the classes, or none."""
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
        wanted: dict[Role, StoredNetwork] = {
            role: stored for role, stored in contents.networks.items() if first is None or role == first
        }
        check_memory(file, wanted, device)
        planned = {role: build_with_empty_weights(file, role, stored) for role, stored in contents.networks.items()}
        networks = {role: load_weights(file, stored, planned[role], device) for role, stored in wanted.items()}
        digest = file.digest()
        file.check_unchanged()
    generators = {role: network for role, network in networks.items() if not isinstance(network, Discriminator)}
    critic = networks.get("D")
    return LoadedCheckpoint(
        generators.get("G"),
        critic if isinstance(critic, Discriminator) else None,
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
    """Weights and constants go to half precision; biases and strengths are few, and large values would overflow."""
    return weight.ndim >= 2 and bool(weight.detach().abs().amax() < 65504) if weight.numel() else False


def check_device(device: str | torch.device) -> torch.device:
    """The device, or ValueError in one sentence where torch has none of that name."""
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ValueError(f"There is no device {device!r}; choose cpu, cuda, cuda:1 or mps.") from None
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"The device {device} was asked for, but torch finds {torch.cuda.device_count()} such GPUs.")
    if where.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("The device mps was asked for, but this machine has none.")
    return where
