"""Hostile pickles: payloads that call something, reach outside of the file, or exhaust memory, time or the stack."""

from __future__ import annotations

import struct

import torch
from checkpoint_writers import old_storage

COMMAND = b"X\x0c\x00\x00\x00touch canary"


def unicode(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def global_ref(module: str, name: str) -> bytes:
    """STACK_GLOBAL."""
    return unicode(module) + unicode(name) + b"\x93"


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return global_ref(module, name) + b"(" + b"".join(arguments) + b"tR"


def storage(count: int = 4) -> bytes:
    """A torch storage of zeros, as published pickles contain it."""
    data = old_storage(torch.zeros(count))
    return call("torch.storage", "_load_from_bytes", b"B" + struct.pack("<I", len(data)) + data)


def integer(number: int) -> bytes:
    data = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tensor(offset: int, shape: tuple[int, ...], strides: tuple[int, ...], count: int = 4) -> bytes:
    sizes = b"(" + b"".join(map(integer, shape)) + b"t"
    steps = b"(" + b"".join(map(integer, strides)) + b"t"
    return call("torch._utils", "_rebuild_tensor_v2", storage(count), integer(offset), sizes, steps, b"\x89", b"}")


# Pickles that call something, and the name that the error must contain.
CALLS: dict[str, tuple[bytes, str]] = {
    "os.system": (call("os", "system", COMMAND), "os.system"),
    "os.system, oldest form": (b"cos\nsystem\n(" + COMMAND + b"tR", "os.system"),
    "posix.system": (call("posix", "system", COMMAND), "posix.system"),
    "nt.system": (call("nt", "system", COMMAND), "nt.system"),
    "inst": (b"(" + COMMAND + b"ios\nsystem\n", "os.system"),
    "obj": (b"(cos\nsystem\n" + COMMAND + b"o", "os.system"),
    "newobj": (global_ref("os", "system") + b"(" + COMMAND + b"t\x81", "os.system"),
    "newobj with names": (global_ref("os", "system") + b"(" + COMMAND + b"t}\x92", "os.system"),
    "eval": (call("builtins", "eval", unicode("open('canary', 'w')")), "builtins.eval"),
    "exec": (call("builtins", "exec", unicode("open('canary', 'w')")), "builtins.exec"),
    "eval of Python 2": (call("__builtin__", "eval", unicode("1")), "__builtin__.eval"),
    "compile": (call("builtins", "compile", unicode("1"), unicode("x"), unicode("eval")), "builtins.compile"),
    "import": (call("builtins", "__import__", unicode("os")), "builtins.__import__"),
    "open": (call("builtins", "open", unicode("canary"), unicode("w")), "builtins.open"),
    "getattr": (call("builtins", "getattr", b"}", unicode("__class__")), "builtins.getattr"),
    "getattr chain": (
        call("builtins", "getattr", call("builtins", "getattr", b")", unicode("__class__")), unicode("__base__")),
        "builtins.getattr",
    ),
    "Popen": (call("subprocess", "Popen", b"(" + COMMAND + b"l"), "subprocess.Popen"),
    "check_output": (call("subprocess", "check_output", COMMAND), "subprocess.check_output"),
    "partial": (call("functools", "partial", global_ref("os", "system"), COMMAND), "functools.partial"),
    "reduce": (call("functools", "reduce", b"]", b"]"), "functools.reduce"),
    "attrgetter": (call("operator", "attrgetter", unicode("system")), "operator.attrgetter"),
    "map": (call("builtins", "map", b"]", b"]"), "builtins.map"),
    "import_module": (call("importlib", "import_module", unicode("os")), "importlib.import_module"),
    "run_path": (call("runpy", "run_path", unicode("x.py")), "runpy.run_path"),
    "code": (call("types", "CodeType", b"K\x01"), "types.CodeType"),
    "marshal": (call("marshal", "loads", b"C\x01N"), "marshal.loads"),
    "pickle": (call("pickle", "loads", b"C\x02N."), "pickle.loads"),
    "torch.load": (call("torch", "load", unicode("x.pkl")), "torch.load"),
    "torch.hub": (call("torch.hub", "load", unicode("x")), "torch.hub.load"),
    "numpy.load": (call("numpy", "load", unicode("x.npy")), "numpy.load"),
    "ctypes": (call("ctypes", "CDLL", unicode("libc.so.6")), "ctypes.CDLL"),
    "socket": (call("socket", "create_connection", b"]"), "socket.create_connection"),
    "web browser": (call("webbrowser", "open", unicode("http://localhost")), "webbrowser.open"),
    "extension registry": (call("copyreg", "add_extension", unicode("os"), unicode("system"), b"K\x01"), "copyreg"),
    "a name with dots": (global_ref("os", "path.os.system"), "os.path.os.system"),
    "a way through a harmless class": (
        global_ref("collections", "OrderedDict.__init__"),
        "collections.OrderedDict.__init__",
    ),
    "dots on the wrong side": (global_ref("torch", "storage._load_from_bytes"), "torch.storage._load_from_bytes"),
    "very long name": (global_ref("os", "a" * 100_000), "os.aaa"),
    "a class that is data, called": (call("numpy", "ndarray", b"K\x01"), "numpy.ndarray"),
    "a storage class, called": (call("torch", "FloatStorage", b"K\x01"), "torch.FloatStorage"),
    "reconstructor": (call("copyreg", "_reconstructor", global_ref("os", "system"), b"N", b"N"), "os.system"),
    "newobj function": (call("copyreg", "__newobj__", global_ref("os", "popen"), COMMAND), "os.popen"),
    "tensor of another type": (
        call("torch._tensor", "_rebuild_from_type_v2", global_ref("os", "system"), b"N", b"(" + COMMAND + b"t", b"N"),
        "os.system",
    ),
    "tensor made by another function": (
        call("torch._tensor", "_rebuild_from_type_v2", global_ref("collections", "OrderedDict"), b"N", b")", b"N"),
        "collections.OrderedDict",
    ),
    "memo": (
        unicode("os") + b"\x94" + b"0" + unicode("system") + b"\x94" + b"0h\x00h\x01\x93(" + COMMAND + b"tR",
        "os.system",
    ),
}

# Pickles that run something without naming a function, or reach outside of the file.
TRICKS: dict[str, bytes] = {
    "a text called": unicode("touch canary") + b")R",
    "a list called": b"])R",
    "extension 1": b"\x82\x01",
    "extension 2": b"\x83\x01\x00",
    "extension 4": b"\x84\x01\x00\x00\x00",
    "persistent id": b"Pos.system\n",
    "binary persistent id": unicode("os.system") + b"Q",
    "buffer from outside": b"\x97",
    "read-only buffer": b"C\x01x\x98",
    "state for a list": b"]}b",
    "state for a name": global_ref("collections", "OrderedDict")
    + b"}"
    + unicode("__call__")
    + global_ref("numpy", "ndarray")
    + b"sb",
    "setstate for a text": unicode("x") + b"}" + unicode("__setstate__") + global_ref("numpy", "dtype") + b"sb",
    "slots of a tuple": b")(N}tb",
    "array of objects": call("numpy", "dtype", unicode("O8"), b"\x89", b"\x88"),
    "reconstructor of a text": call("copyreg", "_reconstructor", unicode("os.system"), b"N", b"N"),
}


NEST_OBJECTS = b"h\x00)\x81h\x01bq\x010"  # an object whose state is the object before it
NETWORK = global_ref("dnnlib.tflib.network", "Network")


def storage_of(data: bytes) -> bytes:
    """Bytes that claim to be a torch storage."""
    return call("torch.storage", "_load_from_bytes", b"B" + struct.pack("<I", len(data)) + data)


def array(shape: bytes, kind: str, data: bytes) -> bytes:
    made = call("numpy._core.multiarray", "_reconstruct", global_ref("numpy", "ndarray"), b"K\x00\x85", b"C\x01b")
    return made + b"(K\x01" + shape + call("numpy", "dtype", unicode(kind), b"\x89", b"\x88") + b"\x89" + data + b"tb"


# Pickles that exhaust memory, time or the stack.
BOMBS: dict[str, bytes] = {
    "lists in lists": b"]" * 100_000 + b"a" * 99_999,
    "tuples in tuples": b")" + b"\x85" * 100_000,
    "dicts in dicts": b"}" + b"N}" * 60_000 + b"s" * 60_000,
    "marks": b"(" * 100_000,
    "objects in objects": NETWORK + b"\x94)\x81\x940" + NEST_OBJECTS * 8_000 + b"h\x01",
    "laughs": b"]\x94" + b"".join(b"]\x94(" + (b"h" + bytes([i])) * 10 + b"e" for i in range(60)),
    "doubling tuples": b")" + b"2\x86" * 60,
    "doubling tuples as a key": b"}" + b")" + b"2\x86" * 60 + b"Ns",
    "doubling tuples in a set": b"\x8f(" + b")" + b"2\x86" * 60 + b"\x90",
    "many sets": b"\x8f0" * 150_000 + b"N",
    "many sets kept": b"\x8f\x94" * 150_000,
    "a whole number of 2 GB": b"\x8b\xff\xff\xff\x7f" + b"\x01" * 100,
    "a whole number of a million digits": b"I" + b"9" * 1_000_000 + b"\n",
    "a long text": b"\x8d" + struct.pack("<Q", 1 << 62) + b"x",
    "a text of 4 GB": b"X\xff\xff\xff\xff" + b"x",
    "a text of negative length": b"T\xff\xff\xff\xff" + b"x",
    "long bytes": b"\x8e" + struct.pack("<Q", 1 << 62) + b"x",
    "a long byte array": b"\x96" + struct.pack("<Q", 1 << 62) + b"x",
    "a long frame": b"\x95" + struct.pack("<Q", 1 << 62),
    "a text that grows": b"\x8c\x04\xf0\x9f\x98\x80"
    + b"X"
    + struct.pack("<I", 3_000_004)
    + b"a" * 3_000_000
    + b"\xf0\x9f\x98\x80",
    "an unreadable name": global_ref("o\ns\u202e", "system\x00"),
    "a name of nothing": global_ref("", "."),
    "a far memo": b"Nr\xff\xff\xff\xff" * 100,
    "a farther memo": b"Np99999999999999999999\n",
    "a value never given": b"h\x07",
    "more values taken than given": b"0000",
    "a line without an end": b"c" + b"o" * 1_000_000,
    "an array larger than its bytes": array(integer(1 << 40) + b"\x85", "f4", b"C\x00"),
    "an array of negative size": array(integer(-1) + b"\x85", "f4", b"C\x00"),
    "a storage of 8 GB": storage_of(old_storage(torch.zeros(4)).replace(b"K\x04N", b"J\xff\xff\xff\x7fN")),
    "a storage in a storage": storage_of(old_storage(torch.zeros(4))[:137] + storage() + b"."),
    "a negative stride": tensor(0, (2,), (-1,)),
    "a negative offset": tensor(-1, (2,), (1,)),
    "a negative size": tensor(0, (-2,), (1,)),
    "a view beyond its storage": tensor(2, (4,), (1,)),
    "a stride beyond its storage": tensor(0, (2,), (1000,)),
    "a view of one number as many": tensor(0, (1 << 40,), (0,)),
    "a thousand dimensions": tensor(0, (1,) * 1000, (1,) * 1000),
}
