"""Which names a pickle may mention, and what our own code makes of them: numbers, containers, unread tensors.

Everything here is a table from a name to a function of ours that checks its arguments and returns an inert value. A
name that is not in the table is refused before anything is made of it.
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
    """The name, if it is on the list. Raises CheckpointError (hostile) that says which name is not."""
    if type(module) is not str or type(name) is not str:
        raise FormatError("it has a name that is no text")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise FormatError("it has a name that is none")  # damage, most likely; Python could not look it up either
    known = GlobalRef(module, name)
    if known in CONSTRUCTORS or known in INERT_GLOBALS or module.startswith("torch.nn.modules."):
        return known
    raise interpreter.unsafe(f"wants to call {sanitize(str(known))}")


def call_global(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> Any:
    """What calling `name` with these arguments stands for."""
    maker = CONSTRUCTORS.get(name)
    if maker is None:
        if name.module.startswith("torch.nn.modules."):
            return OpaqueObject(name, arguments)
        raise interpreter.unsafe(f"wants to call {sanitize(str(name))}, which is no function of a network")
    return maker(interpreter, name, arguments)


def set_state(interpreter: PickleInterpreter, target: Any, state: Any) -> Any:
    """What `target` is after it was given `state`. Never sets an attribute and never calls __setstate__."""
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
            pass  # attributes of an OrderedDict or EasyDict (state_dict's _metadata): nothing that we need
        case LazyTensor():
            pass  # attributes of a parameter
        case _:
            raise interpreter.unsafe(f"wants to change the inside of {type_name(target)}")
    return target


# Makers of containers and objects


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
    """Bytes as pickle protocol 2 writes them: text of which each letter is a byte."""
    if len(arguments) != 2 or type(arguments[0]) is not str or arguments[1] != "latin1":
        raise FormatError("it has bytes in a form that cannot be read")
    interpreter.budget.charge(len(arguments[0]) + 64)
    return arguments[0].encode("latin-1")


def _opaque(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> OpaqueObject:
    return OpaqueObject(name, arguments)


def _reconstruct(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> Any:
    """copyreg's way to say "an object of this class": the class must be on the list too."""
    if not arguments or not isinstance(arguments[0], GlobalRef):
        raise interpreter.unsafe(f"wants {name} to make something that is no class")
    if name.name == "_reconstructor":
        return call_global(interpreter, arguments[0], ())
    return call_global(interpreter, arguments[0], arguments[1:])


def _module_state(interpreter: PickleInterpreter, name: GlobalRef, arguments: tuple[Any, ...]) -> ModuleState:
    """A part of a network with its source text, which is left alone, and its attributes."""
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
        GlobalRef(f"numpy.{core}.{module}", name): maker
        for core in ("core", "_core")
        for module, name, maker in (
            ("multiarray", "_reconstruct", empty_array),
            ("multiarray", "scalar", numpy_scalar),
            ("numeric", "_frombuffer", array_from_buffer),
        )
    },
    **{
        GlobalRef(module, name): maker
        for module in ("builtins", "__builtin__")
        for name, maker in (
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

# Names that may stand as values, but are never called.
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
