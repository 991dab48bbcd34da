"""Which names a pickle may mention, and what our own code makes of them: numbers, containers, unread tensors.

Everything here is a table from a name to a function of ours that checks its arguments and returns an inert value. A
name that is not in the table is refused before anything is made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from networks.errors import Flaw, plain
from networks.safe_pickle.lazy_tensor import StoredTensor
from networks.safe_pickle.tensor_constructors import (
    NUMPY_WORDS,
    STORAGE_TYPES,
    TENSOR_MAKERS,
    Maker,
    array_of_bytes,
    filled_array,
    number_type,
    numpy_scalar,
    storage_of_bytes,
    tensor_of_type,
    unfilled_array,
)
from networks.safe_pickle.values import Module, Name, NumberType, Thing, UnfilledArray, key_is_plain, said

if TYPE_CHECKING:
    from networks.safe_pickle.interpreter import Machine


def check_name(machine: Machine, module: Any, name: Any) -> Name:
    """The name, if it is on the list. Raises CheckpointError (hostile) that says which name is not."""
    if type(module) is not str or type(name) is not str:
        raise Flaw("it has a name that is no text")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise Flaw("it has a name that is none")  # damage, most likely; Python could not look it up either
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
                raise Flaw("it has a number type that makes no sense")
            target.order = state[1]
        case UnfilledArray():
            return filled_array(machine, state)
        case dict() if type(state) is dict:
            pass  # attributes of an OrderedDict or EasyDict (state_dict's _metadata): nothing that we need
        case StoredTensor():
            pass  # attributes of a parameter
        case _:
            raise machine.hostile(f"wants to change the inside of {said(target)}")
    return target


# Makers of containers and objects


def _dict(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    if not arguments:
        return result
    pairs = arguments[0]
    if type(pairs) is dict:
        pairs = list(pairs.items())
    if type(pairs) is not list or len(arguments) != 1:
        raise Flaw(f"it makes an {name.name} of what holds no pairs")
    machine.budget.spend(150 * len(pairs))
    for pair in pairs:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise Flaw(f"it makes an {name.name} of what holds no pairs")
        key_is_plain(pair[0])
        result[pair[0]] = pair[1]
    return result


def _default_dict(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    return {}


def _set(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> set[Any]:
    items = arguments[0] if len(arguments) == 1 else ()
    if type(items) not in (list, tuple):
        raise Flaw("it makes a set of what is no list")
    machine.budget.spend(100 * len(items))
    for item in items:
        key_is_plain(item)
    return set(items)


def _sequence(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    items = arguments[0] if len(arguments) == 1 else ()
    if type(items) not in (list, tuple):
        raise Flaw(f"it makes a {name.name} of what is no list")
    machine.budget.spend(8 * len(items))
    return tuple(items)


def _encoded(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> bytes:
    """Bytes as pickle protocol 2 writes them: text of which each letter is a byte."""
    if len(arguments) != 2 or type(arguments[0]) is not str or arguments[1] != "latin1":
        raise Flaw("it has bytes in a form that cannot be read")
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
        raise Flaw("a part of it has no state")
    return Module(meta["class_name"], meta["state"])


_MAKERS: dict[Name, Maker] = {
    **TENSOR_MAKERS,
    Name("torch._tensor", "_rebuild_from_type_v2"): tensor_of_type,
    Name("torch.storage", "_load_from_bytes"): storage_of_bytes,
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
    Name("numpy", "dtype"): number_type,
    **{
        Name(f"numpy.{core}.{module}", name): maker
        for core in ("core", "_core")
        for module, name, maker in (
            ("multiarray", "_reconstruct", unfilled_array),
            ("multiarray", "scalar", numpy_scalar),
            ("numeric", "_frombuffer", array_of_bytes),
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
        *(Name("numpy", word) for word in NUMPY_WORDS),
        *(Name("torch", word) for word in ("float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8")),
        *(Name(module, kind) for module in ("torch", "torch.cuda") for kind in STORAGE_TYPES),
        *(Name("builtins", word) for word in ("int", "float", "bool", "str", "bytes")),
    }
)
