"""Reads what torch.save wrote, in its old form and its zip form, without torch.load: tensors stay in the file."""

from __future__ import annotations

from typing import Any

from networks.errors import CheckpointError, Flaw, broken
from networks.safe_pickle.file_reader import FileBytes, Region
from networks.safe_pickle.interpreter import Machine
from networks.safe_pickle.lazy_tensor import Storage
from networks.safe_pickle.limits import Budget
from networks.safe_pickle.tensor_constructors import STORAGE_TYPES
from networks.safe_pickle.values import Name
from networks.safe_pickle.zip_directory import ZipTable

OLD_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # a pickle of torch's magic number
_OLD_PROTOCOL = 1001


def read_storage(outer: Machine, region: Region) -> Storage:
    """The one storage in bytes that torch.save wrote inside of a pickle, as the published networks have them."""
    value, _ = _read_old(region, outer.budget, nested=True)
    if not isinstance(value, Storage):
        raise Flaw("a tensor's numbers are not where they should be")
    return value


def read_old(file: FileBytes) -> Any:
    """What an old-form file holds, as inert values."""
    value, _ = _read_old(file.whole(), Budget(file.size), nested=False)
    return value


def read_zip(file: FileBytes) -> Any:
    """What a zip-form file holds, as inert values. Raises CheckpointError: foreign where the zip is not torch's."""
    table = ZipTable(file)
    name = next((name for name in table.entries if name.endswith("data.pkl") and name.count("/") <= 1), None)
    if name is None:
        raise CheckpointError(
            f"{file.path.name} is a zip archive without a network in it; choose a .pkl, .pth or .safetensors file.",
            "foreign",
        )
    folder = name.removesuffix("data.pkl")
    storages: dict[str, Storage] = {}

    def find(key: str, dtype: str, count: int) -> Storage:
        storage = storages.get(key)
        if storage is None:
            region = table.region(f"{folder}data/{key}")
            storage = storages[key] = Storage(dtype, count, region)
            if storage.size > region.length:
                raise Flaw(f"a tensor of {storage.size} bytes has {region.length}")
        return _same(storage, dtype, count)

    order = table.entries.get(f"{folder}byteorder")
    if order is not None and table.region(f"{folder}byteorder").part(0, min(order.length, 8)).read() != b"little":
        raise broken(file.path, "it was written on a machine with another byte order")
    return Machine(table.region(name), Budget(file.size), persistent=lambda key: find(*_storage_id(key))).run()


def _read_old(region: Region, budget: Budget, nested: bool) -> tuple[Any, dict[str, Storage]]:
    """The old form: four pickles (magic, protocol, machine facts, value), the storages' keys, then their numbers."""
    storages: dict[str, Storage] = {}

    def find(key: str, dtype: str, count: int) -> Storage:
        if key not in storages:
            storages[key] = Storage(dtype, count)
        return _same(storages[key], dtype, count)

    if region.part(0, min(len(OLD_START), region.length)).read() != OLD_START:
        raise broken(region.file.path, f"near byte {region.start} a tensor's numbers are not in torch's form")
    machine = Machine(region, budget, persistent=lambda key: find(*_storage_id(key)), nested=nested)
    machine.next = len(OLD_START)
    if machine.run(machine.next) != _OLD_PROTOCOL:
        raise machine.broken("a tensor's numbers are in an unknown version of torch's form")
    facts = machine.run(machine.next)
    if type(facts) is dict and facts.get("little_endian") is False:
        raise broken(region.file.path, "it was written on a machine with another byte order")
    value = machine.run(machine.next)
    keys = machine.run(machine.next)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise machine.broken("the list of its tensors makes no sense")
    at = machine.next
    for key in keys:
        storage = storages.get(key)
        if storage is None or storage.region is not None:
            raise machine.broken("the list of its tensors does not fit them")
        count = int.from_bytes(region.part(at, 8).read(), "little", signed=True)
        if count != storage.count:
            raise machine.broken(f"a tensor of {storage.count} numbers has {count}")
        storage.region = region.part(at + 8, storage.size)
        at += 8 + storage.size
    if any(storage.region is None for storage in storages.values()):
        raise machine.broken("the numbers of a tensor are missing")
    return value, storages


def _storage_id(key: Any) -> tuple[str, str, int]:
    """torch's persistent id: ("storage", type, key, device, count[, view]) -> key, number type, count."""
    if type(key) is not tuple or not 5 <= len(key) <= 6 or key[0] != "storage" or any(key[5:]):
        raise Flaw("it refers to something other than a tensor's numbers")
    _, kind, name, _, count = key[:5]
    dtype = STORAGE_TYPES.get(kind.name) if isinstance(kind, Name) else None
    if isinstance(kind, Name) and kind.name == "UntypedStorage":
        dtype = "uint8"
    if dtype is None or type(name) is not str or type(count) is not int or not 0 <= count < 2**48:
        raise Flaw("it has a tensor of a type that is not known")
    return name, dtype, count


def _same(storage: Storage, dtype: str, count: int) -> Storage:
    if (storage.dtype, storage.count) != (dtype, count):
        raise Flaw("it describes the numbers of a tensor twice, and differently")
    return storage
