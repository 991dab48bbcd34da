"""Hostile files are refused, and nothing in them runs: no call, no import, no file written, bounded memory."""

from __future__ import annotations

import io
import json
import pickle
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
from hostile_pickles import BOMBS, CALLS, TRICKS, storage_of
from soak_mutations import SPARE, one_sentence, worker

from networks import CheckpointError, load_network, save_networks
from networks.config import StyleGAN2Config, StyleGAN3Config

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
