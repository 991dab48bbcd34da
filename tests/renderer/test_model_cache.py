"""Which networks stay in memory, which are read again, and what is said when a file cannot be opened."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from renderer_driver import read_pixels
from small_networks import CONFIGS, make_network, scene_of

from networks import CheckpointError, save_networks
from renderer.engine import Engine
from renderer.errors import RenderError
from session import Compute, Latent, Model, Scene


def write_network(path: Path, seed: int = 1, family: str = "T") -> Path:
    return save_networks(path, {"G_ema": make_network(CONFIGS[family], seed)})


def test_the_raw_generator_can_be_chosen(tmp_path: Path) -> None:
    raw, average = make_network(CONFIGS["T"], 1), make_network(CONFIGS["T"], 2)
    path = save_networks(tmp_path / "both.safetensors", {"G": raw, "G_ema": average})
    engine = Engine()
    average, raw = (read_pixels(engine.render(Scene(model=Model(str(path), weights=name)))) for name in ("G_ema", "G"))
    assert not np.array_equal(average, raw)
    assert np.array_equal(raw, read_pixels(engine.render(scene_of(write_network(tmp_path / "one.safetensors", 1)))))


def test_a_replaced_file_is_shown_when_it_is_asked_for_again(tmp_path: Path) -> None:
    engine = Engine()
    path, other = write_network(tmp_path / "a.safetensors", 1), write_network(tmp_path / "b.safetensors", 5)
    first = read_pixels(engine.render(scene_of(path)))
    write_network(path, 2)
    assert np.array_equal(read_pixels(engine.render(scene_of(path))), first)
    engine.reload(str(path))
    second = read_pixels(engine.render(scene_of(path)))
    assert not np.array_equal(second, first)
    assert engine.render(scene_of(path)).resumed_at == ""
    write_network(path, 1)
    engine.render(scene_of(other))
    assert np.array_equal(read_pixels(engine.render(scene_of(path))), first)  # looked at again on the way back


def test_two_views_keep_their_networks_while_one_file_changes(tmp_path: Path) -> None:
    engine = Engine()
    a, b = (
        scene_of(write_network(tmp_path / "a.safetensors", 1)),
        scene_of(write_network(tmp_path / "b.safetensors", 2)),
    )
    first = read_pixels(engine.render(a, "canvas"))
    engine.render(b, "side")
    write_network(tmp_path / "a.safetensors", 3)
    for _ in range(2):
        assert engine.render(b, "side").resumed_at == ""
        assert np.array_equal(read_pixels(engine.render(a, "canvas")), first)


def test_a_file_that_breaks_or_goes_while_open_costs_a_sentence_and_no_image(tmp_path: Path) -> None:
    engine = Engine()
    path = write_network(tmp_path / "a.safetensors")
    first = read_pixels(engine.render(scene_of(path)))
    path.write_bytes(path.read_bytes()[:1000])
    assert np.array_equal(read_pixels(engine.render(scene_of(path))), first)
    engine.reload(str(path))
    with pytest.raises(CheckpointError):
        engine.render(scene_of(path))
    assert np.array_equal(read_pixels(engine.render(scene_of(path))), first)
    path.unlink()
    engine.reload(str(path))
    assert np.array_equal(read_pixels(engine.render(scene_of(path))), first)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("missing.pkl", None, "foreign"),
        ("empty.pkl", b"", "foreign"),
        ("page.pkl", b"<!DOCTYPE html><html>", "foreign"),
        ("cut.safetensors", "cut", "broken"),
        ("hostile.pkl", b"\x80\x04cos\nsystem\n(X\x04\x00\x00\x00truetR.", "hostile"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence_and_the_old_image_stays(
    name: str, content: bytes | str | None, kind: str, networks: dict[str, Path], tmp_path: Path
) -> None:
    engine = Engine()
    first = read_pixels(engine.render(scene_of(networks["T"])))
    path = tmp_path / name
    if isinstance(content, str):
        content = networks["T"].read_bytes()[:-500]
    if content is not None:
        path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(CheckpointError) as refused:
            engine.render(scene_of(path))
        assert refused.value.kind == kind
        assert "\n" not in str(refused.value)
        again = engine.render(scene_of(networks["T"]))
        assert np.array_equal(read_pixels(again), first)
        assert again.resumed_at in ("", "model")


def test_a_failure_is_not_remembered_once_the_file_is_mended(tmp_path: Path) -> None:
    engine = Engine()
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"not yet")
    for _ in range(2):
        with pytest.raises(CheckpointError):
            engine.render(scene_of(path))
    write_network(path)
    assert engine.render(scene_of(path)).height == 16


def test_a_run_folder_shows_its_newest_snapshot_when_asked_again(tmp_path: Path) -> None:
    engine = Engine()
    snapshots = tmp_path / "00012-run" / "snapshots"
    snapshots.mkdir(parents=True)
    write_network(snapshots / "network-000100.safetensors", 1)
    scene = scene_of(snapshots.parent)
    assert engine.render(scene).model.file.endswith("network-000100.safetensors")
    write_network(snapshots / "network-000200.safetensors", 2)
    assert engine.render(scene).model.file.endswith("network-000100.safetensors")
    engine.reload(str(snapshots.parent))
    assert engine.render(scene).model.file.endswith("network-000200.safetensors")
    assert engine.render(scene).model.name == "00012-run"


class Counting(http.server.SimpleHTTPRequestHandler):
    """Serves the folder that the tests are run with as `directory`, and counts."""

    asked = 0

    def do_GET(self) -> None:
        Counting.asked += 1
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_damaged_download_is_fetched_again_when_it_is_opened_again_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "x.safetensors").write_bytes(b"no network at all")
    handler = partial(Counting, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x.safetensors"
        engine, scene = Engine(), Scene(model=Model(path=url))
        for _ in range(3):  # as a hand drags on
            with pytest.raises(CheckpointError):
                engine.render(scene)
        assert Counting.asked == 1
        write_network(tmp_path / "x.safetensors")
        engine.reload(url)
        assert engine.render(scene).model.family == "StyleGAN3-T"
        assert Counting.asked == 2
        server.shutdown()


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("gpu", "choose auto, cpu, cuda"),
        ("cuda:97", "torch finds"),
        ("cuda:x", "choose auto"),
        ("mps", "choose auto or cpu"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(device: str, why: str, networks: dict[str, Path]) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(RenderError, match=why):
        Engine().render(scene_of(networks["T"], compute=Compute(device)))


def test_a_network_larger_than_memory_is_a_sentence_and_the_old_one_stays(
    networks: dict[str, Path], tmp_path: Path
) -> None:
    engine = Engine()
    first = read_pixels(engine.render(scene_of(networks["SG2"])))
    path = tmp_path / "vast.safetensors"
    write_huge_network(path, networks["SG2"])
    with pytest.raises(CheckpointError) as refused:
        engine.render(scene_of(path))
    assert refused.value.kind == "memory"
    assert np.array_equal(read_pixels(engine.render(scene_of(networks["SG2"]))), first)


def write_huge_network(path: Path, small: Path) -> None:
    """A file of some terabytes that take no room on disk: the small network's with its layers 2 ** 12 times as wide."""
    factor = 2**12
    data = small.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    facts = header.pop("__metadata__")
    configuration = json.loads(facts["configuration"])
    wide = configuration["networks"]["G_ema"]
    before, wide["channel_max"], wide["channel_base"] = wide["channel_max"], 16 * factor, 256 * factor
    at = 0
    for name, entry in header.items():
        own = name.removeprefix("G_ema.synthesis.")
        if own != name and not own.endswith(("resample_filter", "noise_const", "noise_strength")):
            affine, picture = ".affine." in own, ".torgb." in own and ".affine." not in own
            shape = entry["shape"]
            scaled = [0] if affine else [1] if picture and own.endswith("weight") else range(min(2, len(shape)))
            if picture and own.endswith("bias"):
                scaled = []
            if own.endswith("const"):
                scaled = [0]
            entry["shape"] = [n * factor if k in scaled and n == before else n for k, n in enumerate(shape)]
        count = 4 * int(np.prod(entry["shape"], dtype=object))
        entry["data_offsets"] = [at, at + count]
        at += count
    facts["configuration"] = json.dumps(configuration)
    text = json.dumps({"__metadata__": facts, **header}).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)


def test_networks_that_no_view_shows_are_evicted(networks: dict[str, Path], tmp_path: Path) -> None:
    engine = Engine()
    for number in range(6):
        path = shutil.copy(networks["T"], tmp_path / f"{number}.safetensors")
        engine.render(scene_of(path))
    assert len(engine._models._loaded) <= 3
    again = engine.render(scene_of(tmp_path / "5.safetensors", latent=Latent(seed=3)))
    assert again.resumed_at == "mapping"


def test_the_demo_opens_when_nothing_is_named() -> None:
    info = Engine().render(Scene()).model
    assert info.path == ""
    assert info.name == "demo"
    assert Path(info.file).name == "demo.safetensors"
