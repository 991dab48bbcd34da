"""The inert values that stand for what a pickle describes: names that call nothing, objects that do nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from networks.errors import FormatError
from networks.safe_pickle.file_reader import ByteRange
from networks.safe_pickle.lazy_tensor import LazyTensor, Storage


@dataclass(frozen=True, slots=True)
class GlobalRef:
    """The name of something in a Python module. Only its text: nothing is looked up, imported or called."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class OpaqueObject:
    """An object of a class known only by name: what it was made with, and the state it was given. It does nothing."""

    name: GlobalRef
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(slots=True, eq=False)
class ModuleState:
    """A network or a part of one, as the published repositories store them: its class's name and its attributes."""

    class_name: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class NumpyDtype:
    """A numpy number type, such as "f4"; `order` is "<" for the byte order that we can read."""

    code: str
    order: str = "<"


@dataclass(slots=True, eq=False)
class EmptyArray:
    """A numpy array between being made and being given its numbers."""


def check_dict_key(key: Any) -> None:
    """Raise ValueError where a key of a dict is not text, a small number or None.

    Others could be built so that looking them up takes for ever.
    """
    if key is None or type(key) in (str, bool) or (type(key) is int and abs(key) < 2**32):
        return
    raise FormatError(f"it has {type_name(key)} for a name")


def type_name(value: Any) -> str:
    """What sort of value this is, for a sentence."""
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
