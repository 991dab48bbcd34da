"""Keeping a scene as a bookmark of one's own, by mouse and keys."""

from __future__ import annotations

from session.own_bookmarks import own_bookmarks


def test_a_scene_is_kept_renamed_and_found_again(app, home):
    app.drag("Truncation/psi", to=0.3)
    kept = app.scene
    app.press("b")
    app.frames(2)
    (entry,), _ = own_bookmarks(home / "bookmarks")
    assert entry.scene == kept
    app.click(f"Bookmarks/{entry.name}", button=1)
    app.frames(2)
    app.press("ctrl+a")
    app.type("Mine")
    app.press("enter")
    app.frames(2)
    assert [entry.name for entry in own_bookmarks(home / "bookmarks")[0]] == ["Mine"]
    app.drag("Truncation/psi", to=0.9)
    app.press("ctrl+1")
    app.frames(2)
    assert app.scene == kept
    app.press("ctrl+z")
    assert app.scene != kept


def test_bookmarks_are_moved_and_deleted_from_their_menu(app, home):
    app.click("Bookmarks/add")
    app.press("r")
    app.click("Bookmarks/add")
    app.frames(2)
    first, second = (entry.name for entry in own_bookmarks(home / "bookmarks")[0])
    app.click(f"Bookmarks/{second}", button=1)
    app.frames(2)
    app.click("Bookmarks/Move left")
    app.frames(2)
    assert [entry.name for entry in own_bookmarks(home / "bookmarks")[0]] == [second, first]
    app.click(f"Bookmarks/{second}", button=1)
    app.frames(2)
    app.click("Bookmarks/Delete")
    app.frames(2)
    assert [entry.name for entry in own_bookmarks(home / "bookmarks")[0]] == [first]
    assert "still at" in app.messages[-1]


def test_a_bookmark_that_is_not_there_costs_a_sentence(app):
    before = app.scene
    app.press("ctrl+4")
    app.frames(2)
    assert app.scene == before
    assert "no bookmark 4" in app.messages[-1]
