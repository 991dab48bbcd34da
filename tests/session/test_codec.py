"""Session files: what is written is read back, and every mistake is named."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from session import Scene, Session, Truncation
from session.codec import SessionError, from_yaml, load, save, to_yaml
from session.fields import Record, describe
from session.png import next_free_path, read_session, save_png


def random_part(kind: type[Record], rng: random.Random) -> Record:
    """A part with every field drawn from all that it may hold."""
    return kind(**{name: _value(field, rng) for name, field in describe(kind).items()})


def _value(field, rng: random.Random):
    if field.is_tuple:
        return tuple(_one(field, rng) for _ in range(rng.randrange(4)))
    return None if field.optional and rng.random() < 0.3 else _one(field, rng)


def _one(field, rng: random.Random):
    if issubclass(field.kind, Record):
        return random_part(field.kind, rng)
    if field.choice:
        return rng.choice(field.choice.values)
    if field.kind is bool:
        return rng.random() < 0.5
    if field.kind is int:
        return rng.randint(int(field.range.low), int(field.range.high))
    if field.kind is float:
        return rng.uniform(field.range.low, field.range.high)
    return rng.choice(["", "a b", "~/x.pkl", "ünï: #yes", "null", "1e3", "line\nbreak"])


@pytest.mark.parametrize("seed", range(50))
def test_any_document_survives_a_file(seed: int, tmp_path: Path) -> None:
    scenes = tuple(random_part(Scene, random.Random(f"{seed}/{i}")) for i in range(1 + seed % 3))
    session = Session(scenes=scenes, active=len(scenes) - 1)  # pyright: ignore[reportArgumentType]
    save(tmp_path / "s.yaml", session)
    assert load(tmp_path / "s.yaml") == session
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scenes: []", ["not a Bandlimit session"]),
        ("bandlimit: 1\nscenes:\n- truncation: {psi: 7}", ["scenes[0].truncation.psi", "7", "between -1 and 2"]),
        ("bandlimit: 1\nscenes:\n- truncation: {ps: 1}", ["scenes[0].truncation.ps", "did you mean psi"]),
        (f"bandlimit: 1\nscenes:\n- truncation: {{psi: 1{'0' * 310}}}", ["scenes[0].truncation.psi", "finite"]),
        ("bandlimit: 1\nscenes:\n- latent: {seed: one}", ["scenes[0].latent.seed", "whole number"]),
        ("bandlimit: 1\nscenes:\n- latent: {seed: true}", ["whole number"]),
        ("bandlimit: 1\nscenes:\n- latent: {x: .nan}", ["finite"]),
        ("bandlimit: 1\nscenes:\n- noise: {mode: loud}", ["noise.mode", "const, random, none"]),
        ("bandlimit: 1\nscenes:\n- mixing: {layers: 3}", ["mixing.layers", "list"]),
        ("bandlimit: 1\nscenes: {}", ["scenes must be a list"]),
        ("bandlimit: 1\nscenes: []", ["active is 0"]),
        ("bandlimit: 99", ["newer Bandlimit"]),
        ("bandlimit: x", ["version"]),
        ("a: [1, 2", ["not readable YAML at line"]),
        ("a: &x [1]\nb: *x", ["not readable YAML"]),
        ("!!python/object/apply:os.system ['true']", ["not readable YAML"]),
        ("[" * 20000, ["not readable YAML"]),
        ("\x00", ["not readable YAML"]),
    ],
)
def test_every_mistake_is_one_sentence_that_names_the_place(text: str, words: list[str]) -> None:
    with pytest.raises(SessionError) as caught:
        from_yaml(text, "walk.yaml")
    assert str(caught.value).startswith("walk.yaml")
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_or_binary_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_bytes(bytes(range(256)))
    for name in ("none.yaml", "b.yaml", "."):
        with pytest.raises(SessionError):
            load(tmp_path / name)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.mkdir()  # renaming over a folder fails at the very last step
    with pytest.raises(OSError):
        save(path, Session())
    assert list(tmp_path.iterdir()) == [path]


def test_a_saved_image_brings_its_session_back(tmp_path: Path) -> None:
    session = Session(scenes=(replace(Scene(), truncation=Truncation(psi=0.25)),))
    pixels = np.random.RandomState(0).randint(0, 256, (8, 9, 4), np.uint8)
    path = next_free_path(tmp_path / "new")
    save_png(path, pixels, session)
    assert path.name == "00000.png"
    assert read_session(path) == session
    assert next_free_path(path.parent).name == "00001.png"
    save_png(tmp_path / "bare.png", pixels)
    with pytest.raises(SessionError, match="carries no session"):
        read_session(tmp_path / "bare.png")
    (tmp_path / "broken.png").write_bytes(path.read_bytes()[:40])
    with pytest.raises(SessionError):
        read_session(tmp_path / "broken.png")


def test_equal_documents_give_equal_text() -> None:
    assert to_yaml(Session()) == to_yaml(from_yaml(to_yaml(Session())))
