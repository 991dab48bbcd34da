"""Which names a pickle may mention, and what our own code makes of them: numbers, containers, unread tensors.

Everything here is a table from a name to a function of ours that checks its arguments and returns an inert value. A
name that is not in the table is refused before anything is made of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from networks.errors import plain
from networks.filebytes import Region
from networks.stored import MAX_DIMENSIONS, Storage, StoredTensor

if TYPE_CHECKING:
    from networks.unpickle import Machine


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


def check_name(machine: Machine, module: Any, name: Any) -> Name:
    """The name, if it is on the list. Raises CheckpointError (hostile) that says which name is not."""
    if type(module) is not str or type(name) is not str:
        raise ValueError("it has a name that is no text")
    known = Name(module, name)
    if known in _MAKERS or known in _PLAIN_NAMES or module.startswith("torch.nn.modules."):
        return known
    raise machine.hostile(f"wants to call {plain(str(known))}")


def construct(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Any:
    """What calling `name` with these arguments stands for."""
    maker = _MAKERS.get(name)
    if maker is None:
        if name.module.startswith("torch.nn.modules."):
            return Thing(name, arguments)
        raise machine.hostile(f"wants to call {plain(str(name))}, which is no function of a network")
    return maker(machine, name, arguments)


def build(machine: Machine, target: Any, state: Any) -> Any:
    """What `target` is after it was given `state`. Never sets an attribute and never calls __setstate__."""
    match target:
        case Thing():
            target.state = state
        case NumberType():
            if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
                raise ValueError("it has a number type that makes no sense")
            target.order = state[1]
        case UnfilledArray():
            return _filled_array(machine, state)
        case dict() if type(state) is dict:
            pass  # attributes of an OrderedDict or EasyDict (state_dict's _metadata): nothing that we need
        case StoredTensor():
            pass  # attributes of a parameter
        case _:
            raise machine.hostile(f"wants to change the inside of a {type(target).__name__}")
    return target


def key_is_plain(key: Any) -> None:
    """Raise ValueError where a key of a dict is not text, a small number or None.

    Others could be built so that looking them up takes for ever.
    """
    if key is None or type(key) in (str, bool) or (type(key) is int and abs(key) < 2**32):
        return
    raise ValueError(f"it has a {type(key).__name__} for a name")


# Makers: (machine, name, arguments) -> inert value. Each checks what it is given.

Maker = Callable[["Machine", Name, tuple[Any, ...]], Any]


def _dict(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    if not arguments:
        return result
    pairs = arguments[0]
    if type(pairs) is dict:
        pairs = list(pairs.items())
    if type(pairs) is not list or len(arguments) != 1:
        raise ValueError(f"it makes an {name.name} of what holds no pairs")
    machine.budget.spend(150 * len(pairs))
    for pair in pairs:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise ValueError(f"it makes an {name.name} of what holds no pairs")
        key_is_plain(pair[0])
        result[pair[0]] = pair[1]
    return result


def _default_dict(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    return {}


def _set(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> set[Any]:
    items = arguments[0] if len(arguments) == 1 else ()
    if type(items) not in (list, tuple):
        raise ValueError("it makes a set of what is no list")
    machine.budget.spend(100 * len(items))
    for item in items:
        key_is_plain(item)
    return set(items)


def _sequence(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    items = arguments[0] if len(arguments) == 1 else ()
    if type(items) not in (list, tuple):
        raise ValueError(f"it makes a {name.name} of what is no list")
    machine.budget.spend(8 * len(items))
    return tuple(items)


def _encoded(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> bytes:
    """Bytes as pickle protocol 2 writes them: text of which each letter is a byte."""
    if len(arguments) != 2 or type(arguments[0]) is not str or arguments[1] != "latin1":
        raise ValueError("it has bytes in a form that cannot be read")
    machine.budget.spend(len(arguments[0]) + 64)
    return arguments[0].encode("latin-1")


def _thing(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Thing:
    return Thing(name, arguments)


def _reconstructed(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Any:
    """copyreg's way to say "an object of this class": the class must be on the list too."""
    if not arguments or not isinstance(arguments[0], Name):
        raise machine.hostile(f"wants {name} to make something that is no class")
    if name.name == "_reconstructor":
        return construct(machine, arguments[0], ())
    return construct(machine, arguments[0], arguments[1:])


def _module(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Module:
    """A part of a network with its source text, which is left alone, and its attributes."""
    meta = arguments[0] if len(arguments) == 1 else None
    if type(meta) is not dict or type(meta.get("state")) is not dict or type(meta.get("class_name")) is not str:
        raise ValueError("a part of it has no state")
    return Module(meta["class_name"], meta["state"])


# numpy

_NUMBER_CODES = {
    "f4": ("float32", "<f"),
    "f2": ("float16", "<e"),
    "f8": ("float64", "<d"),
    "i8": ("int64", "<q"),
    "i4": ("int32", "<i"),
    "i2": ("int16", "<h"),
    "i1": ("int8", "<b"),
    "u1": ("uint8", "<B"),
    "b1": ("bool", "<?"),
    "u4": ("uint32", "<I"),
    "u8": ("uint64", "<Q"),
    "u2": ("uint16", "<H"),
}


def _number_type(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> NumberType:
    code = arguments[0] if arguments else None
    if isinstance(code, Name):
        code = code.name
    if type(code) is not str:
        raise ValueError("it has a number type that makes no sense")
    code = _NUMPY_WORDS.get(code, code)
    if code.lstrip("<|=") not in _NUMBER_CODES:
        # Arrays of objects would be a pickle in a pickle, and no network has arrays of text or dates.
        raise machine.hostile(f"holds a numpy array of type {plain(code, 20)!r}, which is not made of numbers")
    return NumberType(code.lstrip("<|="))


def _numpy_scalar(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> int | float | bool:
    if len(arguments) != 2 or not isinstance(arguments[0], NumberType):
        raise ValueError("it has a number of no type")
    kind, data = arguments
    _, form = _NUMBER_CODES[kind.code]
    if kind.order == ">":
        form = ">" + form[1:]
    if isinstance(data, Region) and data.length == struct.calcsize(form):
        data = data.read()
    if type(data) is str:
        data = data.encode("latin-1")
    if type(data) is not bytes:
        raise ValueError("it has a number whose bytes are missing")
    return struct.unpack(form, data)[0]


def _unfilled_array(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> UnfilledArray:
    return UnfilledArray()


def _filled_array(machine: Machine, state: Any) -> Any:
    """numpy's state of an array: (version, shape, type, column order, bytes)."""
    if type(state) is not tuple or len(state) != 5:
        raise ValueError("it has an array without numbers")
    _, shape, kind, columns, data = state
    return _array(machine, shape, kind, data, columns=columns is True)


def _array_of_bytes(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Any:
    """How protocol 5 stores arrays: (bytes, type, shape, order)."""
    if len(arguments) != 4:
        raise ValueError("it has an array without numbers")
    data, kind, shape, order = arguments
    return _array(machine, shape, kind, data, columns=order == "F")


def _array(machine: Machine, shape: Any, kind: Any, data: Any, columns: bool) -> Any:
    if not isinstance(kind, NumberType) or type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise ValueError("it has an array whose shape or type makes no sense")
    dtype, form = _NUMBER_CODES[kind.code]
    size = struct.calcsize(form)
    if kind.order == ">" and size > 1:
        raise ValueError("it was written on a machine with another byte order")
    if not all(type(length) is int and 0 <= length < 2**40 for length in shape):
        raise ValueError("it has an array whose shape makes no sense")
    count = 1
    for length in shape:
        count *= length
    if isinstance(data, Region):
        if data.length != count * size:
            raise ValueError(f"an array of {count} numbers has {data.length} bytes")
        if dtype.startswith("uint") and dtype != "uint8":
            return Thing(Name("numpy", "ndarray"), ())  # a type that no weight has
        tensor = StoredTensor.row_major(Storage(dtype, count, data), shape[::-1] if columns else shape)
        return tensor.transposed() if columns else tensor
    if type(data) is bytes and len(data) == count * size:
        return Thing(Name("numpy", "ndarray"), ())  # protocol 2, which only small arrays of sizes use
    raise ValueError("it has an array without numbers")


# torch


def _storage_of_bytes(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Storage:
    from networks.torchfile import read_storage

    if len(arguments) != 1 or not isinstance(arguments[0], Region):
        raise ValueError("it has a tensor without numbers")
    if machine.nested:
        raise ValueError("it has tensors inside of a tensor's storage")
    return read_storage(machine, arguments[0])


def _tensor(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> StoredTensor:
    """torch's (storage, offset, shape, strides, ...)."""
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise ValueError("it has a tensor without numbers")
    storage, offset, shape, strides = arguments[:4]
    if type(shape) is not tuple or type(strides) is not tuple:
        raise ValueError("it has a tensor without a shape")
    return StoredTensor(storage, shape, strides, offset)


def _parameter(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Any:
    if not arguments or not isinstance(arguments[0], StoredTensor):
        raise ValueError("it has a parameter that is no tensor")
    return arguments[0]


def _tensor_of_type(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Any:
    """How torch stores a tensor with attributes: (how to make it, its type, arguments, attributes)."""
    if len(arguments) < 3 or not isinstance(arguments[0], Name) or type(arguments[2]) is not tuple:
        raise ValueError("it has a tensor that makes no sense")
    if arguments[0] not in _TENSOR_MAKERS:
        raise machine.hostile(f"wants to call {plain(str(arguments[0]))} for a tensor")
    return _TENSOR_MAKERS[arguments[0]](machine, arguments[0], arguments[2])


_NUMPY_WORDS = {
    "float32": "f4",
    "float16": "f2",
    "float64": "f8",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "bool_": "b1",
    "bool": "b1",
}

STORAGE_TYPES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}

_TENSOR_MAKERS: dict[Name, Maker] = {
    Name("torch._utils", "_rebuild_tensor"): _tensor,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_parameter"): _parameter,
    Name("torch._utils", "_rebuild_parameter_with_state"): _parameter,
}

_MAKERS: dict[Name, Maker] = {
    **_TENSOR_MAKERS,
    Name("torch._tensor", "_rebuild_from_type_v2"): _tensor_of_type,
    Name("torch.storage", "_load_from_bytes"): _storage_of_bytes,
    Name("torch", "Size"): _sequence,
    Name("torch", "device"): _thing,
    Name("torch_utils.persistence", "_reconstruct_persistent_obj"): _module,
    Name("dnnlib", "EasyDict"): _dict,
    Name("dnnlib.util", "EasyDict"): _dict,
    Name("dnnlib.tflib.network", "Network"): _thing,
    Name("dnnlib.tflib", "Network"): _thing,
    Name("collections", "OrderedDict"): _dict,
    Name("collections", "defaultdict"): _default_dict,
    Name("_codecs", "encode"): _encoded,
    Name("copyreg", "_reconstructor"): _reconstructed,
    Name("copy_reg", "_reconstructor"): _reconstructed,
    Name("copyreg", "__newobj__"): _reconstructed,
    Name("numpy", "dtype"): _number_type,
    **{
        Name(f"numpy.{core}.{module}", name): maker
        for core in ("core", "_core")
        for module, name, maker in (
            ("multiarray", "_reconstruct", _unfilled_array),
            ("multiarray", "scalar", _numpy_scalar),
            ("numeric", "_frombuffer", _array_of_bytes),
        )
    },
    **{
        Name(module, name): maker
        for module in ("builtins", "__builtin__")
        for name, maker in (
            ("set", _set),
            ("frozenset", _set),
            ("dict", _dict),
            ("list", _sequence),
            ("tuple", _sequence),
            ("complex", _thing),
            ("slice", _thing),
        )
    },
}

# Names that may stand as values, but are never called.
_PLAIN_NAMES: frozenset[Name] = frozenset(
    {
        Name("numpy", "ndarray"),
        Name("builtins", "object"),
        Name("__builtin__", "object"),
        Name("torch.nn.parameter", "Parameter"),
        Name("torch", "Tensor"),
        Name("torch.storage", "UntypedStorage"),
        *(Name("numpy", word) for word in _NUMPY_WORDS),
        *(Name("torch", word) for word in ("float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8")),
        *(Name(module, kind) for module in ("torch", "torch.cuda") for kind in STORAGE_TYPES),
        *(Name("builtins", word) for word in ("int", "float", "bool", "str", "bytes")),
    }
)
