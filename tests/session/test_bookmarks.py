"""Bookmarks and presets: what comes with the program can be read, and choosing one changes what it says it does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from session import Compute, Latent, Model, Scene, Session, Transform, Truncation, codec
from session.bookmarks import bookmarks, presets, with_bookmark, with_preset
from session.codec import SessionError

HERE = Scene(Model("/x.pkl"), Compute("cpu"), Latent(seed=77, x=0.3, class_index=2), Truncation(psi=0.4))


def test_six_bookmarks_and_four_presets_come_with_the_program():
    assert len(bookmarks()) == 6
    assert len(presets()) == 4
    for kept in (*bookmarks(), *presets()):
        assert kept.name
        assert not kept.name[0].isdigit()
    assert all(kept.scene.model == Model() for kept in bookmarks()), "they belong to the demo network"
    assert all(kept.scene.capture == Scene().capture for kept in presets()), "layers have other names elsewhere"


def test_a_preset_leaves_network_place_and_class_and_brings_the_rest():
    preset = Scene(latent=Latent(seed=1, drift_x=0.5), truncation=Truncation(psi=0.9), transform=Transform(spin=3))
    after = with_preset(HERE, preset)
    assert after.latent == replace(HERE.latent, drift_x=0.5)
    assert (after.model, after.compute) == (HERE.model, HERE.compute)
    assert (after.truncation, after.transform) == (preset.truncation, preset.transform)


def test_a_bookmark_goes_there_on_the_device_in_use():
    there = bookmarks()[0].scene
    assert with_bookmark(HERE, there) == replace(there, compute=HERE.compute)


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    for name, seed in (("2 Later", 5), ("1 First one", 4)):
        codec.save(tmp_path / "bookmarks" / f"{name}.yaml", Session((Scene(latent=Latent(seed=seed)),)))
    assert [(kept.name, kept.scene.latent.seed) for kept in bookmarks(tmp_path)] == [("First one", 4), ("Later", 5)]
    assert presets(tmp_path) == ()


def test_a_damaged_bookmark_is_named(tmp_path):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "1 Torn.yaml").write_text("bandlimit: 1\nscenes: 3\n")
    with pytest.raises(SessionError, match=r"1 Torn\.yaml"):
        presets(tmp_path)
