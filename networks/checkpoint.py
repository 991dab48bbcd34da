"""Opens network files of every kind as data, saves them in our own format, and says in one sentence what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from networks import discriminator, stylegan2, stylegan3
from networks.config import AnyConfig, StyleGAN2Config, StyleGAN3Config
from networks.contents import (
    DETERMINED,
    ChannelOrder,
    Contents,
    Role,
    StoredNetwork,
    family_name,
)
from networks.discriminator import Discriminator
from networks.download import Progress
from networks.errors import CheckpointError, broken, foreign, plain
from networks.filebytes import FileBytes
from networks.locate import locate
from networks.memory import free_memory
from networks.openmmlab import read_openmmlab
from networks.ourfile import looks_like_ours, read_ours, write_ours
from networks.published import read_published
from networks.tensorflow import read_tensorflow
from networks.torchfile import OLD_START, read_old, read_zip
from networks.unpickle import Budget, Machine
from networks.ziptable import START as ZIP_START

Generator = stylegan3.Generator | stylegan2.Generator


@dataclass(frozen=True)
class Network:
    """The networks of one file, ready to run: in evaluation mode, without gradients. None where the file has none."""

    G: Generator | None
    D: Discriminator | None
    G_ema: Generator | None
    path: Path  # the file that was read
    digest: str  # SHA-256 of that file
    channel_order: ChannelOrder = "rgb"  # of the pictures that the networks make and read
    format: str = ""
    notes: tuple[str, ...] = ()  # sentences worth telling about what was left aside

    @property
    def generator(self) -> Generator:
        """G_ema, or G where there is no G_ema. Raises CheckpointError where there is neither."""
        found = self.G_ema if self.G_ema is not None else self.G
        if found is None:
            raise foreign(self.path, "holds no generator, only D")
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
        return save_networks(path, self.networks(), self.channel_order, dtype)


@dataclass(frozen=True)
class Facts:
    """What a file says about itself, read without its weights."""

    path: Path
    format: str
    size: int  # bytes
    family: str  # "StyleGAN3-T", "StyleGAN3-R", "StyleGAN2"
    configs: Mapping[Role, AnyConfig]
    parameters: Mapping[Role, int]  # numbers in each network, buffers included
    channel_order: ChannelOrder
    notes: tuple[str, ...]


def load_network(
    source: str | Path,
    *,
    device: str | torch.device = "cpu",
    channel_order: ChannelOrder | None = None,
    progress: Progress | None = None,
) -> Network:
    """Open a network: a path, a URL (cached), or a run folder (its newest snapshot).

    Reads .pkl of StyleGAN3 and StyleGAN2-ADA, TensorFlow's too, OpenMMLab's StyleGAN3 .pth and our .safetensors.
    Nothing in a file is ever run. `channel_order` says what the file does not: OpenMMLab's are rgb unless told.
    `progress` gets (bytes done, bytes in all) of a download. Raises CheckpointError.
    """
    where = _usable(device)
    problem: CheckpointError | None = None
    for path in locate(source, progress):
        try:
            network = _load(path, where, channel_order)
        except CheckpointError as error:
            # The newest snapshot of a run may be half written, or just removed: then the one before serves.
            problem = problem or error
            continue
        if problem is None:
            return network
        note = f"The newest snapshot could not be read, so this is {path.name}: {problem}"
        return Network(**{**network.__dict__, "notes": (*network.notes, note)})
    assert problem is not None  # locate gives at least one file
    raise problem


def describe(source: str | Path, *, channel_order: ChannelOrder | None = None) -> Facts:
    """What a network file holds, without reading its weights. Raises CheckpointError."""
    path = locate(source)[0]
    with FileBytes(path) as file:
        contents = read_contents(file, channel_order)
        for role, stored in contents.networks.items():
            _plan(file, role, stored)
        generator = contents.networks.get("G_ema") or contents.networks.get("G")
        return Facts(
            path,
            contents.format,
            file.size,
            family_name(generator.config) if generator else "discriminator",
            {role: stored.config for role, stored in contents.networks.items()},
            {role: stored.count for role, stored in contents.networks.items()},
            contents.channel_order,
            contents.notes,
        )


def convert(
    source: str | Path,
    dest: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    channel_order: ChannelOrder | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write any readable network in our format; the path written. Raises CheckpointError."""
    network = load_network(source, channel_order=channel_order, progress=progress)
    target = Path(dest).expanduser()
    if target.is_dir():
        target = target / f"{network.path.stem}.safetensors"
    return network.save(target, dtype)


def save_networks(
    path: str | Path,
    networks: Mapping[Role, Generator | Discriminator],
    channel_order: ChannelOrder = "rgb",
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write networks by role in our format; see `Network.save`."""
    target = Path(path).expanduser()
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
    write_ours(target, states, channel_order, frozenset(half))
    return target


# Reading, in order: each reader says "not mine" by None


def read_contents(file: FileBytes, channel_order: ChannelOrder | None = None) -> Contents:
    """What a file holds, with tensors still in the file. Raises CheckpointError: foreign, broken or hostile."""
    start = file.read(0, min(64, file.size))
    suffix = file.path.suffix.lower()
    try:
        if start.startswith(ZIP_START):
            contents = read_openmmlab(read_zip(file), channel_order or "rgb")
        elif start.startswith(OLD_START):
            contents = read_openmmlab(read_old(file), channel_order or "rgb")
        elif _is_pickle(start, suffix):
            value = Machine(file.whole(), Budget(file.size)).run()
            contents = read_published(value) or read_tensorflow(value)
        elif looks_like_ours(start):
            contents = read_ours(file, channel_order)
        else:
            raise _not_ours(file, start, suffix)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ZeroDivisionError) as error:
        raise broken(file.path, plain(str(error).rstrip("."), 160) or "it makes no sense") from None
    if contents is None:
        raise foreign(file.path, "is a file of Python data, but holds no network of a kind that is known")
    if not contents.networks:
        raise foreign(file.path, "holds no network of a kind that is known")
    if channel_order is not None and contents.channel_order != channel_order:
        contents = Contents(contents.format, contents.networks, channel_order, contents.notes)
    return contents


def _is_pickle(start: bytes, suffix: str) -> bool:
    if start[:1] == b"\x80" and 2 <= (start[1] if len(start) > 1 else 9) <= 5:
        return True
    return suffix in (".pkl", ".pickle") and start[:1] in (b"(", b"]", b"}", b"c", b"d", b"l", b")", b"i")


def _not_ours(file: FileBytes, start: bytes, suffix: str) -> CheckpointError:
    """The sentence for a file that no reader knows, telling what it seems to be."""
    if file.size == 0:
        return foreign(file.path, "is empty")
    if re.match(rb"\s*<(?:!doctype|html|\?xml)", start, re.IGNORECASE):
        return foreign(file.path, "is a web page that was saved instead of the file")
    if start.startswith(b"version https://git-lfs"):
        return foreign(file.path, "is only a Git LFS pointer to the file")
    if suffix in (".pkl", ".pth", ".pt", ".safetensors"):
        return foreign(file.path, "does not begin as a network file does")
    return foreign(file.path, "is not a network file")


# From contents to networks


def _load(path: Path, device: torch.device, channel_order: ChannelOrder | None) -> Network:
    with FileBytes(path) as file:
        contents = read_contents(file, channel_order)
        _check_sizes(file, contents, device)
        networks: dict[Role, Generator | Discriminator] = {}
        for role, stored in contents.networks.items():
            networks[role] = _fill(file, stored, _plan(file, role, stored), device)
        digest = file.digest()
        file.check_unchanged()
    generators = {role: network for role, network in networks.items() if not isinstance(network, Discriminator)}
    critic = networks.get("D")
    return Network(
        generators.get("G"),
        critic if isinstance(critic, Discriminator) else None,
        generators.get("G_ema"),
        path,
        digest,
        contents.channel_order,
        contents.format,
        contents.notes,
    )


def _check_sizes(file: FileBytes, contents: Contents, device: torch.device) -> None:
    """Refuse, before anything is made, what claims more numbers than the file holds or than there is room for."""
    stored = sum(tensor.size for network in contents.networks.values() for tensor in network.tensors.values())
    if stored > file.size:
        raise broken(file.path, f"it claims {stored} bytes of weights in {file.size} bytes")
    needed = 4 * sum(network.count for network in contents.networks.values())
    free = free_memory(device)
    if free is not None and needed > free:
        raise CheckpointError(
            f"{plain(file.path.name)} needs about {_gigabytes(needed)} and {_gigabytes(free)} are free; close other "
            "programs or choose a smaller network.",
            "memory",
        )


def _plan(file: FileBytes, role: Role, stored: StoredNetwork) -> Generator | Discriminator:
    """The network without memory for its numbers, after comparing its names and shapes with the file's.

    Raises CheckpointError (broken) that names the first difference.
    """
    if isinstance(stored.config, StyleGAN3Config):
        _check_filters(file, role, stored)
    with torch.device("meta"):
        network = _make(stored.config)
    made = network.state_dict()
    for name, tensor in made.items():
        if name not in stored.tensors:
            if not DETERMINED.search(name):
                raise broken(file.path, f"the tensor {name} of its {role} is missing")
        elif stored.tensors[name].shape != tuple(tensor.shape):
            shape, wanted = list(stored.tensors[name].shape), list(tensor.shape)
            raise broken(file.path, f"the tensor {name} of its {role} has shape {shape} where {wanted} is needed")
    for name in stored.tensors:
        if name not in made:
            raise broken(file.path, f"the tensor {plain(name)} of its {role} has no place in such a network")
    return network


def _check_filters(file: FileBytes, role: Role, stored: StoredNetwork) -> None:
    """The low-pass filters of StyleGAN3 grow with its options, so their lengths come first, by arithmetic alone."""
    try:
        _, table = stylegan3.layer_table(stored.config)  # type: ignore[arg-type]  # the caller saw to that
    except (ValueError, ArithmeticError) as error:
        raise broken(file.path, plain(str(error).rstrip("."), 120)) from None
    for spec in table:
        down = (spec.down_taps,) * (2 if spec.down_radial else 1)
        for name, shape in (("up_filter", (spec.up_taps,)), ("down_filter", down)):
            tensor = stored.tensors.get(f"synthesis.{spec.name}.{name}")
            if shape[0] > 1 and (tensor.shape if tensor else shape) != shape or shape[0] > 1024:
                raise broken(file.path, f"the options of its {role} do not fit the filters of {spec.name}")


def _make(config: AnyConfig) -> Generator | Discriminator:
    if isinstance(config, StyleGAN3Config):
        return stylegan3.Generator(config)
    if isinstance(config, StyleGAN2Config):
        return stylegan2.Generator(config)
    return discriminator.Discriminator(config)


def _fill(
    file: FileBytes, stored: StoredNetwork, network: Generator | Discriminator, device: torch.device
) -> Generator | Discriminator:
    """Give a planned network memory, and read its numbers into it piece by piece."""
    try:
        if network.state_dict().keys() == stored.tensors.keys():
            network = network.to_empty(device=device)
        else:  # some buffers must be computed
            with torch.random.fork_rng(devices=[]):
                network = _make(stored.config).to(device)
        state = network.state_dict()
        for name, tensor in stored.tensors.items():
            tensor.copy_into(state[name])
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _no_room(file, stored) from error
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise _no_room(file, stored) from error
    return network.eval().requires_grad_(False)


def _no_room(file: FileBytes, stored: StoredNetwork) -> CheckpointError:
    return CheckpointError(
        f"{plain(file.path.name)} needs about {_gigabytes(4 * stored.count)}, which this machine refused; close other "
        "programs or choose a smaller network.",
        "memory",
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _fits_half(weight: nn.Parameter) -> bool:
    """Weights and constants go to half precision; biases and strengths are few, and large values would overflow."""
    return weight.ndim >= 2 and bool(weight.detach().abs().amax() < 65504) if weight.numel() else False


def _usable(device: str | torch.device) -> torch.device:
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
