"""What numpy's and torch's own functions stand for in a pickle: numbers, and tensors that are still in the file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from networks.errors import Flaw, plain
from networks.safe_pickle.file_reader import Region
from networks.safe_pickle.lazy_tensor import MAX_DIMENSIONS, Storage, StoredTensor
from networks.safe_pickle.values import Name, NumberType, Thing, UnfilledArray

if TYPE_CHECKING:
    from networks.safe_pickle.interpreter import Machine

# (machine, the name that is called, its arguments) -> inert value. Each checks what it is given.
Maker = Callable[["Machine", Name, tuple[Any, ...]], Any]


NUMPY_WORDS = {
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


def number_type(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> NumberType:
    code = arguments[0] if arguments else None
    if isinstance(code, Name):
        code = code.name
    if type(code) is not str:
        raise Flaw("it has a number type that makes no sense")
    code = NUMPY_WORDS.get(code, code)
    if code.lstrip("<|=") not in _NUMBER_CODES:
        # Arrays of objects would be a pickle in a pickle, and no network has arrays of text or dates.
        raise machine.hostile(f"holds a numpy array of type {plain(code, 20)!r}, which is not made of numbers")
    return NumberType(code.lstrip("<|="))


def numpy_scalar(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> int | float | bool:
    if len(arguments) != 2 or not isinstance(arguments[0], NumberType):
        raise Flaw("it has a number of no type")
    kind, data = arguments
    _, form = _NUMBER_CODES[kind.code]
    if kind.order == ">":
        form = ">" + form[1:]
    if isinstance(data, Region) and data.length == struct.calcsize(form):
        data = data.read()
    if type(data) is str:
        data = data.encode("latin-1")
    if type(data) is not bytes:
        raise Flaw("it has a number whose bytes are missing")
    return struct.unpack(form, data)[0]


def unfilled_array(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> UnfilledArray:
    return UnfilledArray()


def filled_array(machine: Machine, state: Any) -> Any:
    """numpy's state of an array: (version, shape, type, column order, bytes)."""
    if type(state) is not tuple or len(state) != 5:
        raise Flaw("it has an array without numbers")
    _, shape, kind, columns, data = state
    return _array(machine, shape, kind, data, columns=columns is True)


def array_of_bytes(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Any:
    """How protocol 5 stores arrays: (bytes, type, shape, order)."""
    if len(arguments) != 4:
        raise Flaw("it has an array without numbers")
    data, kind, shape, order = arguments
    return _array(machine, shape, kind, data, columns=order == "F")


def _array(machine: Machine, shape: Any, kind: Any, data: Any, columns: bool) -> Any:
    if not isinstance(kind, NumberType) or type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise Flaw("it has an array whose shape or type makes no sense")
    dtype, form = _NUMBER_CODES[kind.code]
    size = struct.calcsize(form)
    if kind.order == ">" and size > 1:
        raise Flaw("it was written on a machine with another byte order")
    if not all(type(length) is int and 0 <= length < 2**40 for length in shape):
        raise Flaw("it has an array whose shape makes no sense")
    count = 1
    for length in shape:
        count *= length
    if isinstance(data, Region):
        if data.length != count * size:
            raise Flaw(f"an array of {count} numbers has {data.length} bytes")
        if dtype.startswith("uint") and dtype != "uint8":
            return Thing(Name("numpy", "ndarray"), ())  # a type that no weight has
        tensor = StoredTensor.row_major(Storage(dtype, count, data), shape[::-1] if columns else shape)
        return tensor.transposed() if columns else tensor
    if type(data) is bytes and len(data) == count * size:
        return Thing(Name("numpy", "ndarray"), ())  # protocol 2, which only small arrays of sizes use
    raise Flaw("it has an array without numbers")


# torch


def storage_of_bytes(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Storage:
    from networks.safe_pickle.torch_save import read_storage

    if len(arguments) != 1 or not isinstance(arguments[0], Region):
        raise Flaw("it has a tensor without numbers")
    if machine.nested:
        raise Flaw("it has tensors inside of a tensor's storage")
    return read_storage(machine, arguments[0])


def _tensor(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> StoredTensor:
    """torch's (storage, offset, shape, strides, ...)."""
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise Flaw("it has a tensor without numbers")
    storage, offset, shape, strides = arguments[:4]
    if type(shape) is not tuple or type(strides) is not tuple:
        raise Flaw("it has a tensor without a shape")
    return StoredTensor(storage, shape, strides, offset)


def _parameter(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Any:
    if not arguments or not isinstance(arguments[0], StoredTensor):
        raise Flaw("it has a parameter that is no tensor")
    return arguments[0]


def tensor_of_type(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Any:
    """How torch stores a tensor with attributes: (how to make it, its type, arguments, attributes)."""
    if len(arguments) < 3 or not isinstance(arguments[0], Name) or type(arguments[2]) is not tuple:
        raise Flaw("it has a tensor that makes no sense")
    if arguments[0] not in TENSOR_MAKERS:
        raise machine.hostile(f"wants to call {plain(str(arguments[0]))} for a tensor")
    return TENSOR_MAKERS[arguments[0]](machine, arguments[0], arguments[2])


TENSOR_MAKERS: dict[Name, Maker] = {
    Name("torch._utils", "_rebuild_tensor"): _tensor,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_parameter"): _parameter,
    Name("torch._utils", "_rebuild_parameter_with_state"): _parameter,
}
