"""Undo and redo of whole documents; one gesture is one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from session.document import Session

MAX_STEPS = 1000


@dataclass(frozen=True)
class History:
    """The current document, its past and its undone future; `gesture` names the edit in progress, if any."""

    now: Session
    past: tuple[Session, ...] = ()
    future: tuple[Session, ...] = ()
    gesture: str | None = None


def edit(history: History, session: Session, gesture: str | None = None) -> History:
    """Return the history with a changed document. Edits of one gesture (e.g. a drag of one slider) are one undo step.

    An unchanged document is no edit; without a gesture, every edit is its own step.
    """
    if session == history.now:
        return history
    if gesture is not None and gesture == history.gesture:
        return replace(history, now=session, future=())
    past = (*history.past, history.now)[-MAX_STEPS:]
    return History(session, past, (), gesture)


def end_gesture(history: History) -> History:
    """End the gesture (the mouse was released): the next edit is a new step."""
    return replace(history, gesture=None) if history.gesture is not None else history


def rewrite(history: History, change: Callable[[Session], Session]) -> History:
    """Apply a function to every document of the history; steps that no longer change anything vanish."""
    past: list[Session] = []
    for session in (*map(change, history.past), change(history.now)):
        if not past or session != past[-1]:
            past.append(session)
    future: list[Session] = []
    for session in map(change, history.future):
        if session != (future or past)[-1]:
            future.append(session)
    return History(past[-1], tuple(past[:-1]), tuple(future), history.gesture)


def undo(history: History) -> History:
    """Go one step back, if possible."""
    if not history.past:
        return end_gesture(history)
    return History(history.past[-1], history.past[:-1], (history.now, *history.future))


def redo(history: History) -> History:
    """Go one step forward, if possible."""
    if not history.future:
        return end_gesture(history)
    return History(history.future[0], (*history.past, history.now)[-MAX_STEPS:], history.future[1:])
