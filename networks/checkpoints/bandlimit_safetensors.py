"""Our own network files: safetensors with the configuration as JSON in the header. Equal networks give equal bytes.

Tensors are named `G_ema.synthesis...`, that is role and published name. The header's `__metadata__` holds `format`,
`format_version`, `configuration`, and, where the classes have names, `classes`: a JSON list of them. The layout is the
public one of safetensors: eight bytes with the header's length, the header as JSON, padded with spaces to a multiple of
eight, then the tensors' data without gaps. It is read by hand, by the same bounded reads at a position as every other
format, so that a damaged file costs no memory and data goes directly into the network; the tests compare the result
with the safetensors library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from networks import class_names
from networks.checkpoints.contents import ROLES, ChannelOrder, CheckpointContents, Role, StoredNetwork, TensorSource
from networks.config import AnyConfig, config_from_dict
from networks.errors import CheckpointError, FormatError, corrupt, not_a_checkpoint, sanitize
from networks.safe_pickle.file_reader import ByteRange, RandomAccessFile
from networks.safe_pickle.lazy_tensor import LazyTensor, Storage
from session.atomic_write import atomic_write

FORMAT = "bandlimit-network"
VERSION = 1
_MAX_HEADER_BYTES = 1 << 20  # a typical one has about 100 KB
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
_DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16"}


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins with these bytes may be a safetensors file."""
    return len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 40


def read_safetensors(file: RandomAccessFile, channel_order: ChannelOrder | None) -> CheckpointContents:
    """Read the networks of one of our files, tensors unread. `channel_order` overrides the file's.

    Raises CheckpointError.
    """
    path = file.path
    header, data = _read_header(file)
    metadata = header.pop("__metadata__", None)
    if type(metadata) is not dict or metadata.get("format") != FORMAT:
        raise not_a_checkpoint(path, "is a safetensors file of another program, without a network's configuration")
    if metadata.get("format_version") != str(VERSION):
        version = sanitize(str(metadata.get("format_version")), 20)
        raise CheckpointError(
            f"{sanitize(path.name)} is a network file of version {version}, and this program reads {VERSION}; "
            "update the program.",
            "broken",
        )
    try:
        configuration = json.loads(metadata["configuration"])
        config_dicts = configuration["networks"]
        order: ChannelOrder = configuration.get("channel_order", "rgb")
        if order not in ("rgb", "bgr") or type(config_dicts) is not dict:
            raise FormatError("its configuration makes no sense")
        configs: dict[Role, AnyConfig] = {}
        for role in ROLES:
            if role in config_dicts:
                configs[role] = config_from_dict(config_dicts[role])
        names = class_names.from_json(metadata["classes"], _class_count(configs)) if "classes" in metadata else ()
        tensors: dict[str, dict[str, TensorSource]] = {role: {} for role in configs}
        for name, entry in header.items():
            role, _, own = name.partition(".")
            if role not in tensors:
                raise FormatError(f"its tensor {sanitize(name)} belongs to no network in it")
            tensors[role][own] = _lazy_tensor(name, entry, data)
    except json.JSONDecodeError:
        raise corrupt(path, "its configuration is damaged") from None
    except ValueError as error:  # FormatError, or FieldError of a config: a sentence
        raise corrupt(path, sanitize(str(error).rstrip("."), 160)) from None
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise corrupt(path, "its configuration is damaged") from None
    networks: dict[Role, StoredNetwork] = {}
    for role, config in configs.items():
        networks[role] = StoredNetwork(config, tensors[role])
    return CheckpointContents("safetensors", networks, channel_order or order, classes=names)


def write_safetensors(
    path: Path,
    networks: Mapping[Role, tuple[AnyConfig, Mapping[str, torch.Tensor]]],
    channel_order: ChannelOrder,
    half: frozenset[str] = frozenset(),
    classes: Sequence[str] = (),
) -> None:
    """Write networks, given as (config, tensors by name). Tensors named in `half` are stored in float16, else float32.

    The file appears under its name only when it is complete (see session.atomic_write). Raises CheckpointError where
    it cannot be written, ValueError where `classes` cannot be the names of the classes.
    """
    if classes:
        try:
            class_names.check(classes, _class_count({role: config for role, (config, _) in networks.items()}))
        except FormatError as error:
            raise ValueError(f"{path.name} cannot have these names of classes: {error}.") from None
    tensors = {f"{role}.{name}": value for role, (_, own) in networks.items() for name, value in own.items()}
    dtypes = {name: torch.float16 if name in half else torch.float32 for name in tensors}
    names = sorted(tensors, key=lambda name: (-dtypes[name].itemsize, name))
    header: dict[str, Any] = {
        "__metadata__": {
            "format": FORMAT,
            "format_version": str(VERSION),
            "configuration": json.dumps(
                {
                    "channel_order": channel_order,
                    "networks": {role: config.to_dict() for role, (config, _) in networks.items()},
                },
                sort_keys=True,
            ),
        }
    }
    if classes:
        header["__metadata__"]["classes"] = class_names.to_json(classes)
    offset = 0
    for name in names:
        size = tensors[name].numel() * dtypes[name].itemsize
        header[name] = {
            "dtype": _DTYPE_NAMES[dtypes[name]],
            "shape": list(tensors[name].shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def pieces() -> Iterator[memoryview | bytes]:
        yield len(text).to_bytes(8, "little") + text
        for name in names:
            value = tensors[name].detach().to("cpu", dtypes[name]).contiguous()
            # Tensors of one element may have any stride, so that a view as bytes can fail; these few are copied.
            yield value.view(-1).view(torch.uint8).numpy().data if value.numel() > 1 else value.numpy().tobytes()

    _write(path, pieces())


def _write(path: Path, pieces: Iterator[memoryview | bytes]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part, part.open("wb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written ({error.strerror or error}); choose another place or make room.", "unwritable"
        ) from None


def _read_header(file: RandomAccessFile) -> tuple[dict[str, Any], ByteRange]:
    """Return the header and the range of the tensors' data after it."""
    length = int.from_bytes(file.read(0, min(8, file.size)), "little")
    if 8 + length > file.size:
        raise corrupt(file.path, f"it breaks off after {file.size} bytes")
    if length > _MAX_HEADER_BYTES:
        raise corrupt(file.path, f"its header has {length} bytes, far more than a network needs")
    try:
        header = json.loads(str(file.read(8, length), "utf-8"))  # from bytes, json would guess the encoding
    except (ValueError, RecursionError):
        raise corrupt(file.path, "its header is damaged") from None
    if type(header) is not dict:
        raise corrupt(file.path, "its header is damaged")
    return header, file.full_range().slice(8 + length, file.size - 8 - length)


def _class_count(configs: Mapping[Role, AnyConfig]) -> int:
    """Number of classes of the generator, or of D if there is no generator."""
    return next((configs[role].c_dim for role in ("G_ema", "G", "D") if role in configs), 0)


def _lazy_tensor(name: str, entry: Any, data: ByteRange) -> LazyTensor:
    dtype, shape, offsets = _DTYPES.get(entry["dtype"]), tuple(entry["shape"]), tuple(entry["data_offsets"])
    if dtype is None or len(offsets) != 2 or not all(type(value) is int for value in (*offsets, *shape)):
        raise FormatError(f"its tensor {sanitize(name)} makes no sense")
    start, end = offsets
    count = 1
    for size in shape:
        count *= size
    storage = Storage(dtype, count)
    if not 0 <= start <= end or count < 0 or end - start != storage.nbytes:
        raise FormatError(f"its tensor {sanitize(name)} has {end - start} bytes, but its shape takes {storage.nbytes}")
    storage.byte_range = data.slice(start, end - start)
    return LazyTensor.row_major(storage, shape)
