"""The file dialog: opens networks, run folders and sessions, and asks before it writes over a file."""

from __future__ import annotations

import os


def test_a_network_opens_from_the_file_browser(app, other_network):
    app.press("ctrl+o")
    app.type("/nowhere/at/all.pkl")
    app.press("enter")
    assert app.app.file_dialog.kind is not None, "a path that does not exist keeps the browser open"
    app.press("ctrl+a")
    app.type(str(other_network.parent))
    app.press("enter")
    app.double_click("Browser/sg2.pkl")
    app.wait_for_image()
    assert app.scene.model.path == str(other_network)
    assert app.app.file_dialog.kind is None


def test_a_run_folder_is_chosen_in_the_file_browser_with_the_keys(app, network, tmp_path):
    (tmp_path / "runs" / "00000").mkdir(parents=True)
    network.rename(tmp_path / "runs" / "00000" / "network-snapshot-000100.pkl")
    app.press("ctrl+o")
    app.type(str(tmp_path / "runs"))
    app.press("enter")
    app.click("Browser/00000")
    app.click("Browser/decide")
    assert app.scene.model.path == str(tmp_path / "runs" / "00000")
    app.wait_for_image()


def test_saving_a_session_over_another_asks_first(app, tmp_path):
    (tmp_path / "mine.yaml").write_text("keep me")
    for expected in ("keep me", None):
        app.press("ctrl+shift+s")
        app.press("ctrl+a")
        app.type(str(tmp_path / "mine.yaml"))
        app.press("enter")
        if expected is not None:
            assert (tmp_path / "mine.yaml").read_text() == expected
            app.press("esc")
            app.press("esc")
        else:
            app.click("Browser/decide")
            assert "bandlimit" in (tmp_path / "mine.yaml").read_text()


def test_each_save_over_a_file_asks_anew(app, tmp_path):
    """Also under the name that stands there already, and after a file of that name was written over elsewhere."""
    kept, elsewhere = tmp_path / "session.yaml", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "session.yaml").write_text("old")
    kept.write_text("keep me")
    for _ in range(2):
        app.press("ctrl+shift+s")
        app.frames(3)
        app.press("enter")
        assert kept.read_text() == "keep me"
        app.press("esc")
        app.press("esc")
    app.press("ctrl+shift+s")
    app.press("ctrl+a")
    app.type(str(elsewhere / "session.yaml"))
    app.press("enter")
    app.click("Browser/decide")
    assert "bandlimit" in (elsewhere / "session.yaml").read_text()
    app.press("ctrl+shift+s")
    app.click("Browser/Up")
    app.click("Browser/decide")
    assert kept.read_text() == "keep me"


def test_a_folder_with_names_that_are_no_text_can_be_looked_at(app, tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    (tmp_path / "sub").mkdir()
    app.press("ctrl+o")
    app.frames(2)
    assert app.item_rect("Browser/sub")
