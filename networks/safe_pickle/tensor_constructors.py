"""Our replacements for the numpy and torch functions in a pickle: they make numbers, and tensors still in the file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from networks.errors import FormatError, sanitize
from networks.safe_pickle.file_reader import ByteRange
from networks.safe_pickle.lazy_tensor import MAX_DIMENSIONS, LazyTensor, Storage
from networks.safe_pickle.values import EmptyArray, GlobalRef, NumpyDtype, OpaqueObject

if TYPE_CHECKING:
    from networks.safe_pickle.interpreter import PickleInterpreter

# (interpreter, the global that is called, its arguments) -> inert value. Each one checks its arguments.
Constructor = Callable[["PickleInterpreter", GlobalRef, tuple[Any, ...]], Any]


NUMPY_DTYPE_NAMES = {
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

STORAGE_DTYPES = {
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

_DTYPE_CODES = {
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


def numpy_dtype(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> NumpyDtype:
    code = arguments[0] if arguments else None
    if isinstance(code, GlobalRef):
        code = code.name
    if type(code) is not str:
        raise FormatError("it has a number type that makes no sense")
    code = NUMPY_DTYPE_NAMES.get(code, code)
    if code.lstrip("<|=") not in _DTYPE_CODES:
        # An array of objects would be a pickle in a pickle, and no network has arrays of text or dates.
        raise interpreter.unsafe(f"holds a numpy array of type {sanitize(code, 20)!r}, which is not made of numbers")
    return NumpyDtype(code.lstrip("<|="))


def numpy_scalar(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> int | float | bool:
    if len(arguments) != 2 or not isinstance(arguments[0], NumpyDtype):
        raise FormatError("it has a number of no type")
    kind, data = arguments
    _, form = _DTYPE_CODES[kind.code]
    if kind.order == ">":
        form = ">" + form[1:]
    if isinstance(data, ByteRange) and data.length == struct.calcsize(form):
        data = data.read()
    if type(data) is str:
        data = data.encode("latin-1")
    if type(data) is not bytes:
        raise FormatError("it has a number whose bytes are missing")
    return struct.unpack(form, data)[0]


def empty_array(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> EmptyArray:
    return EmptyArray()


def array_from_state(interpreter: PickleInterpreter, state: Any) -> Any:
    """Make an array from numpy's pickled state: (version, shape, dtype, is Fortran order, bytes)."""
    if type(state) is not tuple or len(state) != 5:
        raise FormatError("it has an array without numbers")
    _, shape, dtype, is_fortran, data = state
    return _array(interpreter, shape, dtype, data, fortran_order=is_fortran is True)


def array_from_buffer(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> Any:
    """Make an array as pickle protocol 5 stores it: (bytes, dtype, shape, order)."""
    if len(arguments) != 4:
        raise FormatError("it has an array without numbers")
    data, dtype, shape, order = arguments
    return _array(interpreter, shape, dtype, data, fortran_order=order == "F")


def _array(interpreter: PickleInterpreter, shape: Any, kind: Any, data: Any, fortran_order: bool) -> Any:
    if not isinstance(kind, NumpyDtype) or type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise FormatError("it has an array whose shape or type makes no sense")
    dtype, form = _DTYPE_CODES[kind.code]
    size = struct.calcsize(form)
    if kind.order == ">" and size > 1:
        raise FormatError("it was written on a machine with another byte order")
    if not all(type(length) is int and 0 <= length < 2**40 for length in shape):
        raise FormatError("it has an array whose shape makes no sense")
    count = 1
    for length in shape:
        count *= length
    if isinstance(data, ByteRange):
        if data.length != count * size:
            raise FormatError(f"an array of {count} numbers has {data.length} bytes")
        if dtype.startswith("uint") and dtype != "uint8":
            return OpaqueObject(GlobalRef("numpy", "ndarray"), ())  # a dtype that no weight has
        tensor = LazyTensor.row_major(Storage(dtype, count, data), shape[::-1] if fortran_order else shape)
        return tensor.transpose() if fortran_order else tensor
    if type(data) is bytes and len(data) == count * size:
        return OpaqueObject(GlobalRef("numpy", "ndarray"), ())  # protocol 2: only small arrays of sizes, not weights
    raise FormatError("it has an array without numbers")


# torch


def storage_from_bytes(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> Storage:
    from networks.safe_pickle.torch_save import read_storage

    if len(arguments) != 1 or not isinstance(arguments[0], ByteRange):
        raise FormatError("it has a tensor without numbers")
    if interpreter.nested:
        raise FormatError("it has tensors inside of a tensor's storage")
    return read_storage(interpreter, arguments[0])


def _tensor(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> LazyTensor:
    """torch._utils._rebuild_tensor: (storage, offset, shape, strides, ...)."""
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise FormatError("it has a tensor without numbers")
    storage, offset, shape, strides = arguments[:4]
    if type(shape) is not tuple or type(strides) is not tuple:
        raise FormatError("it has a tensor without a shape")
    return LazyTensor(storage, shape, strides, offset)


def _parameter(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> Any:
    if not arguments or not isinstance(arguments[0], LazyTensor):
        raise FormatError("it has a parameter that is no tensor")
    return arguments[0]


def rebuild_from_type(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> Any:
    """torch._tensor._rebuild_from_type_v2, a tensor with attributes: (function, type, arguments, attributes)."""
    if len(arguments) < 3 or not isinstance(arguments[0], GlobalRef) or type(arguments[2]) is not tuple:
        raise FormatError("it has a tensor that makes no sense")
    if arguments[0] not in TENSOR_CONSTRUCTORS:
        raise interpreter.unsafe(f"wants to call {sanitize(str(arguments[0]))} for a tensor")
    return TENSOR_CONSTRUCTORS[arguments[0]](interpreter, arguments[0], arguments[2])


TENSOR_CONSTRUCTORS: dict[GlobalRef, Constructor] = {
    GlobalRef("torch._utils", "_rebuild_tensor"): _tensor,
    GlobalRef("torch._utils", "_rebuild_tensor_v2"): _tensor,
    GlobalRef("torch._utils", "_rebuild_parameter"): _parameter,
    GlobalRef("torch._utils", "_rebuild_parameter_with_state"): _parameter,
}
