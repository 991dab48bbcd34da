"""Saving and converting: what was saved comes back, and a save that fails leaves what was there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from checkpoint_writers import (
    TINY3,
    TINY_D,
    TINY_FILES,
    made,
    opened,
    picture,
    tiny_safetensors,
)
from reference_values import NAMES, error, network, numbers, tensor

from networks import CheckpointError, convert, inspect_checkpoint, load_network, save_networks
from networks.checkpoints.contents import Role


@pytest.mark.parametrize("name", NAMES)
def test_what_was_saved_comes_back_and_equal_networks_give_equal_bytes(tmp_path, name):
    net = network(name)
    first = net.save(tmp_path / "first.safetensors")
    again = opened(first)
    assert again.save(tmp_path / "second.safetensors").read_bytes() == first.read_bytes()
    assert again.G_ema.config == net.G_ema.config
    with torch.no_grad():
        z = tensor(numbers(name)["z"])
        assert torch.equal(again.G_ema(z), net.G_ema(z))
        assert torch.equal(again.G(z), net.G(z))
        assert torch.equal(again.D(again.G_ema(z)), net.D(net.G_ema(z)))


@pytest.mark.parametrize("kind", TINY_FILES)
def test_every_kind_of_file_converts_to_ours(tmp_path, kind):
    source = TINY_FILES[kind](tmp_path)
    target = convert(source, tmp_path / "new" / "ours.safetensors")
    assert torch.equal(picture(opened(target).G_ema), picture(opened(source).G_ema))
    assert convert(source, tmp_path / "new").name == f"{source.stem}.safetensors"


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_storage_is_smaller_and_nearly_the_same_picture(tmp_path, name):
    net = network(name)
    whole = net.save(tmp_path / "whole.safetensors")
    half = net.save(tmp_path / "half.safetensors", dtype=torch.float16)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    again = opened(half)
    # Eleven bits a weight: half a thousandth each, a few thousandths of the picture's range.
    assert error(again.G_ema(tensor(numbers(name)["z"])), numbers(name)["img"]) < 1e-2
    for key, value in net.G_ema.state_dict().items():
        kept = again.G_ema.state_dict()[key]
        assert kept.dtype == torch.float32
        if key in dict(net.G_ema.named_buffers()) or value.ndim < 2:
            assert torch.equal(kept, value), key
    assert again.save(tmp_path / "again.safetensors", dtype=torch.float16).read_bytes() == half.read_bytes()


def test_a_weight_too_large_for_half_precision_stays_whole(tmp_path):
    G = made(TINY3)
    G.mapping.fc0.weight.fill_(1e6)
    net = opened(save_networks(tmp_path / "x.safetensors", {"G_ema": G}, dtype=torch.float16))
    assert torch.equal(net.G_ema.mapping.fc0.weight, G.mapping.fc0.weight)


def test_other_programs_can_read_our_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    path = save_networks(tmp_path / "x.safetensors", {"G_ema": made(TINY3)}, dtype=torch.float16)
    tensors = safetensors.load_file(path)
    for name, value in made(TINY3).state_dict().items():
        assert torch.allclose(tensors[f"G_ema.{name}"].float(), value, rtol=1e-3)


NAMED = ("gas giant", "Wüste", 'a "name" of 100 %', "漢字##2", "x" * 64)


def test_names_of_classes_stay_with_a_network(tmp_path):
    G, D = made(replace(TINY3, c_dim=5)), made(replace(TINY_D, c_dim=5))
    five: dict[Role, Any] = {"G": G, "D": D, "G_ema": G}
    first = save_networks(tmp_path / "first.safetensors", five, classes=NAMED)
    again = opened(first)
    assert again.classes == inspect_checkpoint(first).classes == NAMED
    assert load_network(first, channel_order="bgr").classes == NAMED
    assert again.save(tmp_path / "second.safetensors").read_bytes() == first.read_bytes()
    assert inspect_checkpoint(convert(first, tmp_path / "half.safetensors", dtype=torch.float16)).classes == NAMED


def test_a_network_without_names_has_none_and_its_file_says_nothing_of_them(tmp_path):
    path = save_networks(tmp_path / "x.safetensors", {"G_ema": made(replace(TINY3, c_dim=5))})
    assert opened(path).classes == inspect_checkpoint(path).classes == ()
    assert b"classes" not in path.read_bytes()


@pytest.mark.parametrize("names", [NAMED[:4], (*NAMED, "sixth"), (*NAMED[:4], ""), (*NAMED[:4], "a\nb")])
def test_names_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, names):
    with pytest.raises(ValueError, match=r"x.safetensors cannot have these names .*class"):
        save_networks(tmp_path / "x.safetensors", {"G_ema": made(replace(TINY3, c_dim=5))}, classes=names)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tiny_safetensors(tmp_path)
    before = path.read_bytes()
    folder = tmp_path / "taken.safetensors"
    folder.mkdir()
    with pytest.raises(CheckpointError) as caught:
        opened(path).save(folder)
    assert caught.value.kind == "unwritable"
    with pytest.raises(CheckpointError, match="ends in .safetensors"):
        opened(path).save(tmp_path / "x.pkl")
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ours.safetensors", "taken.safetensors"]


def test_weights_are_stored_as_float32_or_float16_only(tmp_path):
    with pytest.raises(ValueError, match="float64"):
        save_networks(tmp_path / "x.safetensors", {"G_ema": made(TINY3)}, dtype=torch.float64)
