"""The document in the hand and what is remembered between starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gui import preferences
from gui.chrome.shortcuts import chord, key_label
from gui.document import Document
from session import Latent, Scene, Session, Truncation


def drifting(**other) -> Session:
    return Session((Scene(latent=Latent(drift_x=1.0), **other),))


def test_an_edit_while_things_move_bakes_the_moment_and_undo_comes_back_to_it():
    document = Document(drifting())
    document.advance(2.25)
    seen = document.scene
    document.edit(replace(seen, truncation=Truncation(psi=0.5)), "psi")
    assert document.time == 0
    assert document.scene.latent == seen.latent
    document.undo()
    assert document.scene == seen
    assert not document.can_undo


def test_undo_and_redo_while_things_move_lose_no_moment():
    document = Document(drifting())
    document.advance(2.25)
    seen = document.scene
    document.undo()
    document.redo()
    assert document.scene == seen, "there was nothing to undo or redo"
    document.edit(replace(seen, truncation=Truncation(psi=0.5)))
    document.advance(1.5)
    seen = document.scene
    document.undo()
    document.advance(0.5)
    document.redo()
    assert document.scene == seen


def test_edits_of_one_gesture_are_one_step_also_while_things_move():
    document = Document(drifting())
    for psi in (0.9, 0.8, 0.7):
        document.advance(0.1)
        document.edit_slice(Truncation, Truncation(psi=psi), "psi")
    document.end_gesture()
    document.edit_slice(Truncation, Truncation(psi=0.1), "psi")
    document.undo()
    assert document.scene.truncation.psi == 0.7
    document.undo()
    assert document.scene.truncation == Truncation()


def test_a_paused_document_does_not_move():
    document = Document(drifting())
    document.playing = False
    document.advance(5)
    assert document.scene == drifting().scene


def test_settling_stops_every_drift_where_it_is_without_a_step_of_undo():
    document = Document(drifting())
    document.advance(0.25)
    document.stop_motion()
    assert document.scene.latent == Latent(x=0.25)
    assert not document.can_undo
    assert not document.is_moving


def test_what_is_saved_is_what_is_seen():
    document = Document(drifting())
    document.advance(0.25)
    assert document.present.scene == document.scene
    assert Document(document.present).scene == document.scene


def test_settings_come_back_as_they_were(tmp_path):
    kept = preferences.Preferences(
        theme="light", recents=("a.pkl", "https://x/y.pkl"), left=-5, layout="[Window]\nPos=1,2\n"
    )
    preferences.save(tmp_path, kept)
    assert preferences.load(tmp_path) == (kept, None, [])


def test_one_wrong_setting_does_not_cost_the_others(tmp_path):
    (tmp_path / preferences.SETTINGS).write_text("theme: light\nscale: 900\nunknown: 3\nrecents: [a.pkl]\n")
    loaded, _session, notes = preferences.load(tmp_path)
    assert loaded == preferences.Preferences(theme="light", recents=("a.pkl",))
    assert notes == []


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"- a list", b"{" * 5000, b"a: &x [*x]", b"\x00"])
def test_damaged_settings_are_set_aside_and_never_lost(tmp_path, content):
    for number in (1, 2):
        (tmp_path / preferences.SETTINGS).write_bytes(content)
        loaded, _session, notes = preferences.load(tmp_path)
        if notes:
            assert loaded == preferences.Preferences()
            assert (tmp_path / f"settings.yaml.damaged-{number}").read_bytes() == content


def test_a_network_opened_again_moves_to_the_head_of_the_recents():
    remembered = preferences.Preferences()
    for path in [*(f"{n}.pkl" for n in range(20)), "15.pkl"]:
        remembered = preferences.add_recent(remembered, path)
    assert remembered.recents[:2] == ("15.pkl", "19.pkl")
    assert len(remembered.recents) == preferences.MAX_RECENTS


def test_every_command_has_keys_that_can_be_pressed():
    from gui.commands import COMMANDS

    chords = [chord(command.keys) for command in COMMANDS if command.keys]
    assert len(set(chords)) == len(chords)
    assert key_label("ctrl+shift+z").endswith("Shift+Z")
    assert key_label("+") == "+"
