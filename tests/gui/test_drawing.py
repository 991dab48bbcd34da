"""Drawing is not editing: whatever a document says, showing it leaves it as it is."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from session import Compute, Model, Scene, Session
from session.fields import Field, Record, describe

DOCUMENTS = 25


def anything(part: type[Record], chance: random.Random) -> Any:
    """A random value of a part, within its fields' bounds, often at their ends."""
    return part(**{name: _value(field, chance) for name, field in describe(part).items()})


def _value(field: Field, chance: random.Random) -> Any:
    if field.is_tuple:
        return tuple(sorted({_one(field, chance) for _ in range(chance.randrange(5))}))
    if field.optional and chance.random() < 0.3:
        return None
    return _one(field, chance)


def _one(field: Field, chance: random.Random) -> Any:
    if issubclass(field.kind, Record):
        return anything(field.kind, chance)
    if field.choice:
        return chance.choice(field.choice.values)
    if field.kind is bool:
        return chance.random() < 0.5
    if field.kind is str:
        return chance.choice(("", "L2_36_10", "nothing of that name", "Ümlaut %s %d\\n"))
    assert field.range is not None
    low, high = field.range.low, field.range.high
    number = chance.choice((low, high, field.default or 0, chance.uniform(low, high), chance.uniform(low, high) / 3.7))
    return field.kind(min(max(number, low), high))


@pytest.mark.parametrize("playing", [False, True])
def test_drawing_any_document_leaves_it_equal(app, network, playing):
    chance = random.Random(20 + playing)
    app.app.document.playing = playing
    app.app.prefs = replace(app.app.prefs, closed=(), drawer="Performance")
    for number in range(DOCUMENTS):
        scene = anything(Scene, chance)
        model, compute = Model(path=str(network)), Compute(precision=scene.compute.precision)
        session = Session((replace(scene, model=model, compute=compute),))
        app.app.document.replace(session)
        app.app.toasts.shown = ()
        app.frames(2)
        assert app.app.document.session == session, f"document {number} was changed by drawing it"


def test_drawing_before_the_first_network_leaves_the_document_equal(start):
    chance = random.Random(7)
    app = start(Session((replace(anything(Scene, chance), model=Model(path="/nowhere.pkl")),)))
    session = app.app.document.session
    app.frames(4)
    assert app.app.document.session == session
