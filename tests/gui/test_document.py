"""The document in the hand and what is remembered between starts."""

from __future__ import annotations

from dataclasses import replace

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
