"""Reads files of torch.save, in the legacy and the zip format, without torch.load: tensors stay in the file."""

from __future__ import annotations

from typing import Any

from networks.errors import CheckpointError, FormatError, corrupt
from networks.safe_pickle.file_reader import ByteRange, RandomAccessFile
from networks.safe_pickle.interpreter import PickleInterpreter
from networks.safe_pickle.lazy_tensor import Storage
from networks.safe_pickle.limits import Budget
from networks.safe_pickle.tensor_constructors import STORAGE_DTYPES
from networks.safe_pickle.values import GlobalRef
from networks.safe_pickle.zip_directory import ZipDirectory

LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number, pickled
_LEGACY_PROTOCOL = 1001


def read_storage(outer: PickleInterpreter, byte_range: ByteRange) -> Storage:
    """Read the single storage of a legacy torch.save that is embedded in a pickle, as in NVIDIA's network pickles."""
    value, _ = _read_legacy(byte_range, outer.budget, nested=True)
    if not isinstance(value, Storage):
        raise FormatError("a tensor's numbers are not where they should be")
    return value


def read_legacy(file: RandomAccessFile) -> Any:
    """Read a file in the legacy format; return its value as inert values. Raises CheckpointError."""
    value, _ = _read_legacy(file.full_range(), Budget(file.size), nested=False)
    return value


def read_zip(file: RandomAccessFile) -> Any:
    """Read a file in the zip format; return its value as inert values.

    Raises CheckpointError: foreign where the archive is not of torch.save, else as the interpreter does.
    """
    directory = ZipDirectory(file)
    name = next((name for name in directory.entries if name.endswith("data.pkl") and name.count("/") <= 1), None)
    if name is None:
        raise CheckpointError(
            f"{file.path.name} is a zip archive without a network in it; choose a .pkl, .pth or .safetensors file.",
            "foreign",
        )
    folder = name.removesuffix("data.pkl")
    storages: dict[str, Storage] = {}

    def get_storage(key: str, dtype: str, count: int) -> Storage:
        storage = storages.get(key)
        if storage is None:
            byte_range = directory.entry_range(f"{folder}data/{key}")
            storage = storages[key] = Storage(dtype, count, byte_range)
            if storage.nbytes > byte_range.length:
                raise FormatError(f"a tensor of {storage.nbytes} bytes has {byte_range.length}")
        return _check_same(storage, dtype, count)

    order = directory.entries.get(f"{folder}byteorder")
    if (
        order is not None
        and directory.entry_range(f"{folder}byteorder").slice(0, min(order.length, 8)).read() != b"little"
    ):
        raise corrupt(file.path, "it was written on a machine with another byte order")
    return PickleInterpreter(
        directory.entry_range(name),
        Budget(file.size),
        persistent_load=lambda key: get_storage(*_parse_persistent_id(key)),
    ).run()


def _read_legacy(byte_range: ByteRange, budget: Budget, nested: bool) -> tuple[Any, dict[str, Storage]]:
    """Read the legacy format: pickles of magic, protocol, system info, value and storage keys, then the storages."""
    storages: dict[str, Storage] = {}

    def get_storage(key: str, dtype: str, count: int) -> Storage:
        if key not in storages:
            storages[key] = Storage(dtype, count)
        return _check_same(storages[key], dtype, count)

    if byte_range.slice(0, min(len(LEGACY_MAGIC), byte_range.length)).read() != LEGACY_MAGIC:
        raise corrupt(byte_range.file.path, f"near byte {byte_range.start} a tensor's numbers are not in torch's form")
    interpreter = PickleInterpreter(
        byte_range, budget, persistent_load=lambda key: get_storage(*_parse_persistent_id(key)), nested=nested
    )
    interpreter.position = len(LEGACY_MAGIC)
    if interpreter.run(interpreter.position) != _LEGACY_PROTOCOL:
        raise interpreter.corrupt("a tensor's numbers are in an unknown version of torch's form")
    system_info = interpreter.run(interpreter.position)
    if type(system_info) is dict and system_info.get("little_endian") is False:
        raise corrupt(byte_range.file.path, "it was written on a machine with another byte order")
    value = interpreter.run(interpreter.position)
    keys = interpreter.run(interpreter.position)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise interpreter.corrupt("the list of its tensors makes no sense")
    at = interpreter.position
    for key in keys:
        storage = storages.get(key)
        if storage is None or storage.byte_range is not None:
            raise interpreter.corrupt("the list of its tensors does not fit them")
        count = int.from_bytes(byte_range.slice(at, 8).read(), "little", signed=True)
        if count != storage.numel:
            raise interpreter.corrupt(f"a tensor of {storage.numel} numbers has {count}")
        storage.byte_range = byte_range.slice(at + 8, storage.nbytes)
        at += 8 + storage.nbytes
    if any(storage.byte_range is None for storage in storages.values()):
        raise interpreter.corrupt("the numbers of a tensor are missing")
    return value, storages


def _parse_persistent_id(key: Any) -> tuple[str, str, int]:
    """Parse torch's persistent id ("storage", type, key, device, count[, view]); return key, dtype and count."""
    if type(key) is not tuple or not 5 <= len(key) <= 6 or key[0] != "storage" or any(key[5:]):
        raise FormatError("it refers to something other than a tensor's numbers")
    _, kind, name, _, count = key[:5]
    dtype = STORAGE_DTYPES.get(kind.name) if isinstance(kind, GlobalRef) else None
    if isinstance(kind, GlobalRef) and kind.name == "UntypedStorage":
        dtype = "uint8"
    if dtype is None or type(name) is not str or type(count) is not int or not 0 <= count < 2**48:
        raise FormatError("it has a tensor of a type that is not known")
    return name, dtype, count


def _check_same(storage: Storage, dtype: str, count: int) -> Storage:
    if (storage.dtype, storage.numel) != (dtype, count):
        raise FormatError("it describes the numbers of a tensor twice, and differently")
    return storage
