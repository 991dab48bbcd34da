"""The inert values that stand for what a pickle describes: names that call nothing, objects that do nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from networks.errors import Flaw
from networks.safe_pickle.file_reader import Region
from networks.safe_pickle.lazy_tensor import Storage, StoredTensor


@dataclass(frozen=True, slots=True)
class Name:
    """The name of something in a Python module. Only its text: nothing is looked up, imported or called."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Thing:
    """An object of a class known only by name: what it was made with, and the state it was given. It does nothing."""

    name: Name
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(slots=True, eq=False)
class Module:
    """A network or a part of one, as the published repositories store them: its class's name and its attributes."""

    class_name: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class NumberType:
    """A numpy number type, such as "f4"; `order` is "<" for the byte order that we can read."""

    code: str
    order: str = "<"


@dataclass(slots=True, eq=False)
class UnfilledArray:
    """A numpy array between being made and being given its numbers."""


def key_is_plain(key: Any) -> None:
    """Raise ValueError where a key of a dict is not text, a small number or None.

    Others could be built so that looking them up takes for ever.
    """
    if key is None or type(key) in (str, bool) or (type(key) is int and abs(key) < 2**32):
        return
    raise Flaw(f"it has {said(key)} for a name")


def said(value: Any) -> str:
    """What sort of value this is, for a sentence."""
    return _WORDS.get(type(value), "an object")


_WORDS: dict[type, str] = {
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
    Region: "bytes",
    Name: "a function",
    StoredTensor: "a tensor",
    Storage: "numbers",
}
