"""Undo: one gesture is one step, and nothing is lost on the way back and forth."""

from __future__ import annotations

from dataclasses import replace

from session import Latent, Scene, Session, with_scene
from session.history import History, edit, end_gesture, redo, undo


def seeded(seed: int) -> Session:
    return with_scene(Session(), replace(Scene(), latent=Latent(seed=seed)))


def test_a_drag_is_one_step_and_the_next_drag_another() -> None:
    history = History(seeded(0))
    for seed in (1, 2, 3):
        history = edit(history, seeded(seed), "Latent/seed")
    history = end_gesture(history)
    for seed in (4, 5):
        history = edit(history, seeded(seed), "Latent/seed")
    history = undo(history)
    assert history.now == seeded(3)
    history = undo(history)
    assert history.now == seeded(0)
    assert undo(history) == history
    history = redo(redo(history))
    assert history.now == seeded(5)
    assert redo(history) == history


def test_a_new_edit_after_undo_drops_what_was_undone_and_nothing_else() -> None:
    history = History(seeded(0))
    history = edit(edit(history, seeded(1)), seeded(2))
    history = edit(undo(history), seeded(9))
    assert history.future == ()
    assert undo(history).now == seeded(1)


def test_an_equal_document_is_no_step() -> None:
    history = History(seeded(0))
    assert edit(history, seeded(0)) is history


def test_undo_within_a_gesture_ends_it() -> None:
    history = edit(edit(History(seeded(0)), seeded(1), "a"), seeded(2), "a")
    history = edit(undo(history), seeded(3), "a")
    assert undo(history).now == seeded(0)
