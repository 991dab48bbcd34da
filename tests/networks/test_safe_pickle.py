"""Hostile files are refused, and nothing in them runs: no call, no import, no file written, bounded memory."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_writers import (
    TINY3,
    old_storage,
    random_net,
    tiny_pth,
    tiny_safetensors,
    tiny_stylegan3_pickle,
    write_nvidia,
)
from soak_mutations import SPARE, one_sentence, worker

from networks import CheckpointError, load_network, save_networks
from networks.config import StyleGAN2Config, StyleGAN3Config

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

# Headers of a safetensors file that are malformed, or claim more than the file holds.
HEADERS: dict[str, bytes] = {
    "a header of 2 EB": (1 << 61).to_bytes(8, "little") + b"{}",
    "a header as long as the file": (10_000_000).to_bytes(8, "little") + b"{" + b"[" * 9_999_999,
    "brackets": (100_001).to_bytes(8, "little") + b"{" + b"[" * 100_000,
    "many objects": (900_001).to_bytes(8, "little") + b'{"x":[' + b"{}," * 299_998 + b"1",
    "a number of many digits": (100_001).to_bytes(8, "little") + b"{" + b"9" * 100_000,
    "another encoding": (8).to_bytes(8, "little") + "{}".encode("utf-32-le"),
    "half an encoding": (5).to_bytes(8, "little") + b"{\xff\0\0}",
    "nothing": (2).to_bytes(8, "little") + b"{}",
}

# Invalid names for a network of five classes.
GOOD = ["gas giant", "rocky", "ocean", "lava", "ice"]
NAMED: dict[str, Any] = {
    "too few names": json.dumps(GOOD[:4]),
    "too many names": json.dumps([*GOOD, "sixth"]),
    "names that are no text": json.dumps([1, 2, 3, 4, 5]),
    "names of names": json.dumps({name: name for name in GOOD}),
    "an empty name": json.dumps([*GOOD[:4], " "]),
    "a name of many letters": json.dumps([*GOOD[:4], "x" * 65]),
    "a name of two lines": json.dumps([*GOOD[:4], "a\nb"]),
    "a name that turns the line round": json.dumps([*GOOD[:4], "a\u202eb"]),
    "half a letter as a name": json.dumps([*GOOD[:4], "\ud800"]),
    "a list as it is": GOOD,
    "half a list of names": json.dumps(GOOD)[:-1],
    "brackets for names": "[" * 200_000,
    "digits for names": "[" + "9" * 200_000 + "]",
    "half a megabyte of names": json.dumps(["x" * 100_000] * 5),
}

# Options that require far more than the file holds.
_WIDE: dict[str, Any] = {"w_dim": 2**20, "z_dim": 2**20, "mapping_num_layers": 256, "channel_max": 4}
_LONG: dict[str, Any] = {"img_resolution": 2**16, "channel_base": 2**20, "channel_max": 4, "w_dim": 16, "z_dim": 16}
PLANS = {
    "a wide mapping": StyleGAN2Config(img_resolution=16, **_WIDE),
    "a wide synthesis": StyleGAN2Config(img_resolution=2**16, channel_base=2**20, channel_max=2**20),
    "a wide alias-free mapping": StyleGAN3Config(img_resolution=16, **_WIDE),
    "a deep alias-free network": StyleGAN3Config(num_layers=256, **_LONG),
    "long filters": StyleGAN3Config(num_layers=3, filter_size=32, lrelu_upsampling=32, **_LONG),
    "long filters, unsaid": StyleGAN3Config(
        img_resolution=16,
        w_dim=16,
        z_dim=16,
        channel_max=4,
        filter_size=32,
        lrelu_upsampling=32,
        use_radial_filters=True,
    ),
}


def in_network(real: bytes, payload: bytes) -> bytes:
    """A real network with the payload at the beginning of its pickle."""
    return real[:11] + payload + b"0" + real[11:]


def in_storage(payload: bytes) -> bytes:
    """A pickle whose tensor's storage, itself a pickle, has the payload in it."""
    inner = old_storage(torch.zeros(4))
    start = inner.index(b"\x80\x02(X\x07\x00\x00\x00storage")
    return b"\x80\x04" + storage_of(inner[: start + 2] + payload + b"." + inner[start + 2 :]) + b"."


def in_zip(real: bytes, payload: bytes) -> bytes:
    """A .pth whose pickle is the payload."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(real)) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = b"\x80\x02" + payload + b"." if name.endswith("data.pkl") else source.read(name)
            archive.writestr(name, content)
    return target.getvalue()


def with_names(real: bytes, names: Any) -> bytes:
    """A real network file with `names` as its class names."""
    length = int.from_bytes(real[:8], "little")
    header = json.loads(real[8 : 8 + length])
    header["__metadata__"]["classes"] = names
    changed = json.dumps(header).encode()
    return len(changed).to_bytes(8, "little") + changed + real[8 + length :]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome for each hostile file; all are opened in one audited process."""
    sources, folder = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("hostile")
    network, pth = tiny_stylegan3_pickle(sources).read_bytes(), tiny_pth(sources).read_bytes()
    files: dict[str, bytes] = {}
    payloads = {**{name: payload for name, (payload, _) in CALLS.items()}, **TRICKS, **BOMBS}
    for name, payload in payloads.items():
        files[f"{name}.pkl"] = b"\x80\x04" + payload + b"."
        files[f"{name} in a network.pkl"] = in_network(network, payload)
        files[f"{name} in a zip.pth"] = in_zip(pth, payload)
    for name in CALLS:
        files[f"{name} in a storage.pkl"] = in_storage(payloads[name])
    for name, config in PLANS.items():
        generator = random_net(type(config)(img_resolution=16, w_dim=16, z_dim=16, channel_max=4))
        generator.config = config
        for layer in generator.synthesis.children() if "unsaid" in name else ():
            layer.up_filter = layer.down_filter = None
        files[f"{name}.pkl"] = write_nvidia(sources / "x.pkl", {"G_ema": generator}).read_bytes()
    for name, content in HEADERS.items():
        files[f"{name}.safetensors"] = content
    five = random_net(replace(TINY3, c_dim=5))
    real = save_networks(sources / "named.safetensors", {"G_ema": five}, classes=GOOD).read_bytes()
    for name, names in NAMED.items():
        files[f"{name}.safetensors"] = with_names(real, names)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    done = worker("--judge", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("place", ["", " in a network", " in a storage", " in a zip"])
def test_a_pickle_that_calls_a_function_is_refused_by_its_name(verdicts, name, place):
    verdict = verdicts[f"{name}{place}.{'pth' if 'zip' in place else 'pkl'}"]
    assert verdict["kind"] == "hostile", verdict["sentence"]
    assert CALLS[name][1] in verdict["sentence"]
    assert "nothing was run" in verdict["sentence"]


@pytest.mark.parametrize("name", TRICKS)
def test_tricks_are_refused_as_hostile(verdicts, name):
    for place in ("", " in a network"):
        assert verdicts[f"{name}{place}.pkl"]["kind"] == "hostile", verdicts[f"{name}{place}.pkl"]


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(verdicts, name):
    assert verdicts[f"{name}.pkl"]["kind"] in ("broken", "foreign", "hostile")


@pytest.mark.parametrize("name", PLANS)
def test_impossible_options_are_refused(verdicts, name):
    assert verdicts[f"{name}.pkl"]["kind"] == "broken"


@pytest.mark.parametrize("name", HEADERS)
def test_impossible_headers_are_refused(verdicts, name):
    assert verdicts[f"{name}.safetensors"]["kind"] in ("broken", "foreign")


@pytest.mark.parametrize("name", NAMED)
def test_invalid_class_names_are_refused(verdicts, name):
    assert verdicts[f"{name}.safetensors"]["kind"] == "broken"
    assert "class" in verdicts[f"{name}.safetensors"]["sentence"]


def test_nothing_in_a_hostile_file_ever_runs(verdicts):
    assert verdicts["left behind"] == []
    assert {name: verdict["ran"] for name, verdict in files(verdicts).items() if verdict["ran"]} == {}


def test_each_refusal_is_one_sentence_about_that_file(verdicts):
    for name, verdict in files(verdicts).items():
        assert verdict["kind"] == "loaded" or one_sentence(verdict["sentence"], name), verdict["sentence"]


def test_no_hostile_file_takes_long_or_much_memory(verdicts):
    """Twice its size, and what reading any network takes."""
    for name, verdict in files(verdicts).items():
        assert verdict["memory"] < 2 * verdict["size"] + SPARE, (name, verdict["memory"])
        assert verdict["seconds"] < 10, (name, verdict["seconds"])


def test_the_payloads_are_real(tmp_path, monkeypatch):
    """Python's own pickle runs the first one, so the payloads above are not harmless."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(b"\x80\x04" + CALLS["os.system"][0] + b".")
    assert Path("canary").exists()


def test_a_damaged_safetensors_file_claims_no_more_than_it_holds(tmp_path):
    """A header may say that one byte of weights is a gigabyte."""
    path = tiny_safetensors(tmp_path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name.endswith("fc0.weight"))
    header[name]["data_offsets"] = [0, 1 << 30]
    header[name]["shape"] = [1 << 14, 1 << 14]
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + length :])
    with pytest.raises(CheckpointError, match="breaks off"):
        load_network(path)


def files(verdicts: dict[str, Any]) -> dict[str, Any]:
    return {name: verdict for name, verdict in verdicts.items() if name != "left behind"}
