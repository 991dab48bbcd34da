"""Saving and converting: saved networks load unchanged, and a failed save leaves the old file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from checkpoint_writers import (
    TINY3,
    TINY_D,
    TINY_FILES,
    generate,
    load,
    random_net,
    tiny_safetensors,
)
from reference_values import NAMES, max_error, network, reference, tensor

from networks import CheckpointError, convert, inspect_checkpoint, load_network, save_networks
from networks.checkpoints.contents import Role


@pytest.mark.parametrize("name", NAMES)
def test_saved_networks_load_unchanged_and_equal_networks_give_equal_bytes(tmp_path, name):
    net = network(name)
    first = net.save(tmp_path / "first.safetensors")
    again = load(first)
    assert again.save(tmp_path / "second.safetensors").read_bytes() == first.read_bytes()
    assert again.G_ema.config == net.G_ema.config
    with torch.no_grad():
        z = tensor(reference(name)["z"])
        assert torch.equal(again.G_ema(z), net.G_ema(z))
        assert torch.equal(again.G(z), net.G(z))
        assert torch.equal(again.D(again.G_ema(z)), net.D(net.G_ema(z)))


@pytest.mark.parametrize("kind", TINY_FILES)
def test_every_kind_of_file_converts_to_ours(tmp_path, kind):
    source = TINY_FILES[kind](tmp_path)
    target = convert(source, tmp_path / "new" / "ours.safetensors")
    assert torch.equal(generate(load(target).G_ema), generate(load(source).G_ema))
    assert convert(source, tmp_path / "new").name == f"{source.stem}.safetensors"


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_files_are_smaller_and_give_nearly_the_same_image(tmp_path, name):
    net = network(name)
    whole = net.save(tmp_path / "whole.safetensors")
    half = net.save(tmp_path / "half.safetensors", dtype=torch.float16)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    again = load(half)
    # 11 bits per weight: an error of 0.0005 each, and of a few thousandths of the image's range.
    assert max_error(again.G_ema(tensor(reference(name)["z"])), reference(name)["img"]) < 1e-2
    for key, value in net.G_ema.state_dict().items():
        kept = again.G_ema.state_dict()[key]
        assert kept.dtype == torch.float32
        if key in dict(net.G_ema.named_buffers()) or value.ndim < 2:
            assert torch.equal(kept, value), key
    assert again.save(tmp_path / "again.safetensors", dtype=torch.float16).read_bytes() == half.read_bytes()


def test_a_weight_too_large_for_half_precision_stays_float32(tmp_path):
    G = random_net(TINY3)
    G.mapping.fc0.weight.fill_(1e6)
    net = load(save_networks(tmp_path / "x.safetensors", {"G_ema": G}, dtype=torch.float16))
    assert torch.equal(net.G_ema.mapping.fc0.weight, G.mapping.fc0.weight)


def test_other_programs_can_read_our_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    path = save_networks(tmp_path / "x.safetensors", {"G_ema": random_net(TINY3)}, dtype=torch.float16)
    tensors = safetensors.load_file(path)
    for name, value in random_net(TINY3).state_dict().items():
        assert torch.allclose(tensors[f"G_ema.{name}"].float(), value, rtol=1e-3)


NAMED = ("gas giant", "Wüste", 'a "name" of 100 %', "漢字##2", "x" * 64)


def test_class_names_are_saved_with_a_network(tmp_path):
    G, D = random_net(replace(TINY3, c_dim=5)), random_net(replace(TINY_D, c_dim=5))
    five: dict[Role, Any] = {"G": G, "D": D, "G_ema": G}
    first = save_networks(tmp_path / "first.safetensors", five, classes=NAMED)
    again = load(first)
    assert again.classes == inspect_checkpoint(first).classes == NAMED
    assert load_network(first, channel_order="bgr").classes == NAMED
    assert again.save(tmp_path / "second.safetensors").read_bytes() == first.read_bytes()
    assert inspect_checkpoint(convert(first, tmp_path / "half.safetensors", dtype=torch.float16)).classes == NAMED


def test_without_class_names_a_file_has_no_entry_for_them(tmp_path):
    path = save_networks(tmp_path / "x.safetensors", {"G_ema": random_net(replace(TINY3, c_dim=5))})
    assert load(path).classes == inspect_checkpoint(path).classes == ()
    assert b"classes" not in path.read_bytes()


@pytest.mark.parametrize("names", [NAMED[:4], (*NAMED, "sixth"), (*NAMED[:4], ""), (*NAMED[:4], "a\nb")])
def test_class_names_that_do_not_match_are_refused_before_writing(tmp_path, names):
    with pytest.raises(ValueError, match=r"x.safetensors cannot have these names .*class"):
        save_networks(tmp_path / "x.safetensors", {"G_ema": random_net(replace(TINY3, c_dim=5))}, classes=names)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tiny_safetensors(tmp_path)
    before = path.read_bytes()
    folder = tmp_path / "taken.safetensors"
    folder.mkdir()
    with pytest.raises(CheckpointError) as caught:
        load(path).save(folder)
    assert caught.value.kind == "unwritable"
    with pytest.raises(CheckpointError, match="ends in .safetensors"):
        load(path).save(tmp_path / "x.pkl")
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ours.safetensors", "taken.safetensors"]


def test_weights_are_stored_as_float32_or_float16_only(tmp_path):
    with pytest.raises(ValueError, match="float64"):
        save_networks(tmp_path / "x.safetensors", {"G_ema": random_net(TINY3)}, dtype=torch.float64)
