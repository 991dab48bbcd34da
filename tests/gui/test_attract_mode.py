"""The first start: the demo network moves gently until it is touched, and offers what there is to see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.window import FIRST_START_PREFERENCES, create_parser, greeting_scene, initial_session, open_paths
from gui import platform_dirs, preferences
from session import Scene, Session
from session.bookmarks import bookmarks, presets, with_preset
from session.timeline import is_moving, without_motion


@pytest.fixture
def first(start, home):
    """The program as it starts where nothing is kept."""
    session, greeting = initial_session(create_parser().parse_args([]), home)
    driver = start(session, start_in_attract_mode=greeting)
    driver.app.prefs = replace(driver.app.prefs, **FIRST_START_PREFERENCES)
    driver.frames(2)
    driver.wait_until(lambda: driver.app.views.canvas.result is not None)
    return driver


def test_it_opens_with_the_first_bookmark_and_moves(first):
    assert without_motion(greeting_scene()) == bookmarks()[0].scene
    assert first.app.document.is_moving
    before = first.scene
    first.frames(10)
    assert first.scene != before


@pytest.mark.parametrize("touch", ["click", "wheel", "key"])
def test_the_first_touch_stops_it_and_is_no_edit(first, touch):
    if touch == "click":
        first.click("Canvas")
    elif touch == "wheel":
        first.wheel("Canvas", 1)
    else:
        first.press("t")
    first.frames(2)
    assert not first.app.document.is_moving
    assert not first.app.document.can_undo
    rest = first.scene
    first.frames(10)
    assert first.scene == rest


def test_a_greeting_that_nobody_touched_is_not_kept_as_a_session(first, home):
    first.frames(5)
    first.app.close()
    assert not (home / preferences.SESSION).exists()


def test_what_was_touched_is_kept(first, home):
    first.click("Canvas")
    first.app.close()
    _, kept, _ = preferences.load(home)
    assert kept is not None
    assert kept.scene == first.scene
    assert not is_moving(first.scene)


def test_who_wants_no_motion_gets_none(start, home):
    preferences.save(home, preferences.Preferences(greet=False))
    app = start(Session((greeting_scene(),)), start_in_attract_mode=True)
    app.frames(10)
    assert app.scene == bookmarks()[0].scene


def test_the_motion_of_the_start_is_switched_off_in_a_menu(first):
    first.click("Menu/View")
    first.click("Menu/Move at the start")
    assert not first.app.prefs.greet


def test_a_network_named_at_the_start_opens_with_the_defaults(home):
    session, greeting = initial_session(create_parser().parse_args(["x.pkl"]), home)
    assert session == Session()
    assert not greeting


def test_flags_beside_a_path_say_how_it_is_opened(start, network):
    options = create_parser().parse_args([str(network), "--latent.class-index", "0", "--capture.layer", "L2_36_16"])
    app = start(Session())
    open_paths(app.app, options)
    assert (app.scene.model.path, app.scene.latent.class_index) == (str(network), 0)
    assert app.scene.capture.layer == "L2_36_16"


def test_a_bookmark_is_chosen_by_its_picture_in_one_step_of_undo(first):
    kept = bookmarks()[2]
    first.wait_until(lambda: first.app.views.request_view("bookmark 2", kept.scene) is not None)
    first.click(f"Bookmarks/{kept.name}")
    assert first.scene == kept.scene
    first.wait_for_image()
    first.press("ctrl+z")
    assert first.scene != kept.scene
    assert not first.app.document.can_undo


def test_a_preset_keeps_the_place(first):
    kept = presets()[1]
    first.click("Canvas")
    here = first.scene
    first.click(f"Bookmarks/{kept.name}")
    assert without_motion(first.scene) == replace(
        without_motion(with_preset(here, kept.scene)), transform=without_motion(first.scene).transform
    )
    assert first.app.document.is_moving


def test_where_the_system_says_nothing_of_motion_things_move(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert platform_dirs.prefers_reduced_motion() is False
    assert Scene() != greeting_scene()
