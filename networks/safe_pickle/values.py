"""The inert values that stand for a pickle's globals and objects: none of them calls or does anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from networks.errors import FormatError
from networks.safe_pickle.file_reader import ByteRange
from networks.safe_pickle.lazy_tensor import LazyTensor, Storage


@dataclass(frozen=True, slots=True)
class GlobalRef:
    """The name of a Python global. Only its text: nothing is looked up, imported or called."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class OpaqueObject:
    """An object of which only the class's name, the constructor's arguments and the state are known."""

    name: GlobalRef
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(slots=True, eq=False)
class ModuleState:
    """An `nn.Module` as NVIDIA's repositories pickle it: its class's name and its `__dict__`."""

    class_name: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class NumpyDtype:
    """A numpy dtype by its code, such as "f4". `order` is the byte order; only "<" (little-endian) arrays are read."""

    code: str
    order: str = "<"


@dataclass(slots=True, eq=False)
class EmptyArray:
    """A numpy array that has been constructed, but has not yet got its state (shape, dtype and data)."""


def check_dict_key(key: Any) -> None:
    """Raise FormatError unless the key of a dict (or member of a set) is text, a small integer, a bool or None.

    Other keys, such as nested tuples, can be built so that hashing them takes exponential time.
    """
    if key is None or type(key) in (str, bool) or (type(key) is int and abs(key) < 2**32):
        return
    raise FormatError(f"it has {type_name(key)} for a name")


def type_name(value: Any) -> str:
    """Return what kind of value this is, as words for an error message."""
    return _TYPE_NAMES.get(type(value), "an object")


_TYPE_NAMES: dict[type, str] = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "nothing",
    list: "a list",
    tuple: "a row of values",
    dict: "a table of values",
    set: "a set",
    bytes: "bytes",
    ByteRange: "bytes",
    GlobalRef: "a function",
    LazyTensor: "a tensor",
    Storage: "numbers",
}
