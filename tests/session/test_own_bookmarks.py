"""One's own bookmarks: files that keep their order, names and content whatever is done to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from session import Latent, Scene
from session.own_bookmarks import add, clean_name, delete, own_bookmarks, rename, reorder


def names(folder: Path) -> list[str]:
    return [entry.name for entry in own_bookmarks(folder)[0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        add(tmp_path / "bookmarks", f"seed {seed}", Scene(latent=Latent(seed=seed)))
    return tmp_path / "bookmarks"


def test_bookmarks_stay_in_the_order_in_which_they_were_added(folder: Path) -> None:
    entries, problems = own_bookmarks(folder)
    assert [(entry.name, entry.scene.latent.seed) for entry in entries] == [(f"seed {i}", i) for i in range(3)]
    assert problems == ()


def test_a_bookmark_is_renamed_moved_and_deleted_and_none_is_lost(folder: Path) -> None:
    path = own_bookmarks(folder)[0][2].path
    assert path is not None
    path = rename(path, "Red moon")
    reorder(folder, path, -2)
    assert names(folder) == ["Red moon", "seed 0", "seed 1"]
    path = own_bookmarks(folder)[0][0].path
    assert path is not None
    reorder(folder, path, 5)
    assert names(folder) == ["seed 0", "seed 1", "Red moon"]
    path = own_bookmarks(folder)[0][2].path
    assert path is not None
    kept = delete(path)
    assert names(folder) == ["seed 0", "seed 1"]
    assert "seed: 2" in kept.read_text()


def test_two_of_one_name_live_side_by_side(folder: Path) -> None:
    for seed in (7, 8):
        path = add(folder, "Same", replace(Scene(), latent=Latent(seed=seed)))
        delete(path)
    assert len(list((folder / "deleted").iterdir())) == 2
    first, second = (entry.path for entry in own_bookmarks(folder)[0][:2])
    assert first is not None and second is not None
    rename(first, "Twin")
    rename(second, "Twin")
    assert names(folder)[:2] == ["Twin", "Twin"]


def test_a_file_that_somebody_sent_is_shown_and_a_damaged_one_is_told(folder: Path) -> None:
    (folder / "From a friend.yaml").write_text("bandlimit: 1\nscenes:\n- latent: {seed: 9}\n")
    (folder / "4 broken.yaml").write_text("bandlimit: 1\nscenes: [")
    entries, problems = own_bookmarks(folder)
    assert [entry.name for entry in entries][-1] == "From a friend"
    assert len(problems) == 1
    assert "4 broken.yaml" in problems[0]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("a/b\\c", "a b c"),
        ("  ", "Bookmark"),
        ("../..", "Bookmark"),
        ("7 up", "up"),
        ("x" * 100, "x" * 60),
        ("é ü", "é ü"),
    ],
)
def test_any_name_can_be_typed(typed: str, name: str) -> None:
    assert clean_name(typed) == name
