"""The globals that a pickle may name, and our own constructors for them: numbers, containers, unread tensors.

`CONSTRUCTORS` maps each global that may be called to a function of ours, which checks its arguments and returns an
inert value; `INERT_GLOBALS` may only be named. Every other name is refused before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from networks.errors import FormatError, sanitize
from networks.safe_pickle.lazy_tensor import LazyTensor
from networks.safe_pickle.tensor_constructors import (
    NUMPY_DTYPE_NAMES,
    STORAGE_DTYPES,
    TENSOR_CONSTRUCTORS,
    Constructor,
    array_from_buffer,
    array_from_state,
    empty_array,
    numpy_dtype,
    numpy_scalar,
    rebuild_from_type,
    storage_from_bytes,
)
from networks.safe_pickle.values import (
    EmptyArray,
    GlobalRef,
    ModuleState,
    NumpyDtype,
    OpaqueObject,
    check_dict_key,
    type_name,
)

if TYPE_CHECKING:
    from networks.safe_pickle.interpreter import PickleInterpreter


def check_global(interpreter: PickleInterpreter, module: Any, name: Any) -> GlobalRef:
    """Return the global of this name if it is allowed. Raises CheckpointError (hostile) that names it if it is not."""
    if type(module) is not str or type(name) is not str:
        raise FormatError("it has a name that is no text")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise FormatError("it has a name that is none")  # probably damage: Python could not look it up either
    ref = GlobalRef(module, name)
    if ref in CONSTRUCTORS or ref in INERT_GLOBALS or module.startswith("torch.nn.modules."):
        return ref
    raise interpreter.unsafe(f"wants to call {sanitize(str(ref))}")


def call_global(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> Any:
    """Return the inert value that stands for calling `name` with these arguments (opcodes REDUCE, NEWOBJ, INST, OBJ).

    Raises CheckpointError (hostile) for a global that may not be called, FormatError for arguments that make no sense.
    """
    constructor = CONSTRUCTORS.get(name)
    if constructor is None:
        if name.module.startswith("torch.nn.modules."):
            return OpaqueObject(name, arguments)
        raise interpreter.unsafe(f"wants to call {sanitize(str(name))}, which is no function of a network")
    return constructor(interpreter, name, arguments)


def set_state(interpreter: PickleInterpreter, target: Any, state: Any) -> Any:
    """Return `target` after the BUILD opcode gave it `state`. Never sets an attribute and never calls __setstate__."""
    match target:
        case OpaqueObject():
            target.state = state
        case NumpyDtype():
            if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
                raise FormatError("it has a number type that makes no sense")
            target.order = state[1]
        case EmptyArray():
            return array_from_state(interpreter, state)
        case dict() if type(state) is dict:
            pass  # attributes of an OrderedDict or EasyDict (state_dict's _metadata), which are not needed
        case LazyTensor():
            pass  # attributes of a parameter, which are not needed
        case _:
            raise interpreter.unsafe(f"wants to change the inside of {type_name(target)}")
    return target


# Constructors of containers and objects


def _dict(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    if not arguments:
        return result
    pairs = arguments[0]
    if type(pairs) is dict:
        pairs = list(pairs.items())
    if type(pairs) is not list or len(arguments) != 1:
        raise FormatError(f"it makes an {name.name} of what holds no pairs")
    interpreter.budget.charge(150 * len(pairs))
    for pair in pairs:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise FormatError(f"it makes an {name.name} of what holds no pairs")
        check_dict_key(pair[0])
        result[pair[0]] = pair[1]
    return result


def _default_dict(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    return {}


def _set(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> set[Any]:
    items = arguments[0] if len(arguments) == 1 else ()
    if type(items) not in (list, tuple):
        raise FormatError("it makes a set of what is no list")
    interpreter.budget.charge(100 * len(items))
    for item in items:
        check_dict_key(item)
    return set(items)


def _sequence(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    items = arguments[0] if len(arguments) == 1 else ()
    if type(items) not in (list, tuple):
        raise FormatError(f"it makes a {name.name} of what is no list")
    interpreter.budget.charge(8 * len(items))
    return tuple(items)


def _codecs_encode(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> bytes:
    """Bytes as pickle protocol 2 writes them: Latin-1 text to encode."""
    if len(arguments) != 2 or type(arguments[0]) is not str or arguments[1] != "latin1":
        raise FormatError("it has bytes in a form that cannot be read")
    interpreter.budget.charge(len(arguments[0]) + 64)
    return arguments[0].encode("latin-1")


def _opaque(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> OpaqueObject:
    return OpaqueObject(name, arguments)


def _reconstruct(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> Any:
    """copyreg's functions for making an object of a class; the class must be allowed too."""
    if not arguments or not isinstance(arguments[0], GlobalRef):
        raise interpreter.unsafe(f"wants {name} to make something that is no class")
    if name.name == "_reconstructor":
        return call_global(interpreter, arguments[0], ())
    return call_global(interpreter, arguments[0], arguments[1:])


def _module_state(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> ModuleState:
    """A module of NVIDIA's torch_utils.persistence: its attributes are kept, its source text is ignored."""
    meta = arguments[0] if len(arguments) == 1 else None
    if type(meta) is not dict or type(meta.get("state")) is not dict or type(meta.get("class_name")) is not str:
        raise FormatError("a part of it has no state")
    return ModuleState(meta["class_name"], meta["state"])


CONSTRUCTORS: dict[GlobalRef, Constructor] = {
    **TENSOR_CONSTRUCTORS,
    GlobalRef("torch._tensor", "_rebuild_from_type_v2"): rebuild_from_type,
    GlobalRef("torch.storage", "_load_from_bytes"): storage_from_bytes,
    GlobalRef("torch", "Size"): _sequence,
    GlobalRef("torch", "device"): _opaque,
    GlobalRef("torch_utils.persistence", "_reconstruct_persistent_obj"): _module_state,
    GlobalRef("dnnlib", "EasyDict"): _dict,
    GlobalRef("dnnlib.util", "EasyDict"): _dict,
    GlobalRef("dnnlib.tflib.network", "Network"): _opaque,
    GlobalRef("dnnlib.tflib", "Network"): _opaque,
    GlobalRef("collections", "OrderedDict"): _dict,
    GlobalRef("collections", "defaultdict"): _default_dict,
    GlobalRef("_codecs", "encode"): _codecs_encode,
    GlobalRef("copyreg", "_reconstructor"): _reconstruct,
    GlobalRef("copy_reg", "_reconstructor"): _reconstruct,
    GlobalRef("copyreg", "__newobj__"): _reconstruct,
    GlobalRef("numpy", "dtype"): numpy_dtype,
    **{
        GlobalRef(f"numpy.{core}.{module}", name): constructor
        for core in ("core", "_core")
        for module, name, constructor in (
            ("multiarray", "_reconstruct", empty_array),
            ("multiarray", "scalar", numpy_scalar),
            ("numeric", "_frombuffer", array_from_buffer),
        )
    },
    **{
        GlobalRef(module, name): constructor
        for module in ("builtins", "__builtin__")
        for name, constructor in (
            ("set", _set),
            ("frozenset", _set),
            ("dict", _dict),
            ("list", _sequence),
            ("tuple", _sequence),
            ("complex", _opaque),
            ("slice", _opaque),
        )
    },
}

# Globals that may occur as values, but are never called.
INERT_GLOBALS: frozenset[GlobalRef] = frozenset(
    {
        GlobalRef("numpy", "ndarray"),
        GlobalRef("builtins", "object"),
        GlobalRef("__builtin__", "object"),
        GlobalRef("torch.nn.parameter", "Parameter"),
        GlobalRef("torch", "Tensor"),
        GlobalRef("torch.storage", "UntypedStorage"),
        *(GlobalRef("numpy", word) for word in NUMPY_DTYPE_NAMES),
        *(
            GlobalRef("torch", word)
            for word in ("float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8")
        ),
        *(GlobalRef(module, kind) for module in ("torch", "torch.cuda") for kind in STORAGE_DTYPES),
        *(GlobalRef("builtins", word) for word in ("int", "float", "bool", "str", "bytes")),
    }
)
