"""Settings and session are saved while one works; folders that cannot be written cost a sentence."""

from __future__ import annotations

import time
from dataclasses import replace

from gui import autosave, preferences
from session import Latent, Scene, codec


def test_the_session_and_the_settings_are_there_again_at_the_next_start(start, home):
    first = start()
    first.app.document.edit(Scene(latent=Latent(seed=77, drift_x=0.0)))
    first.app.post_command("view.theme")
    first.frames(2)
    first.app.close()
    second = start()
    assert second.scene.latent.seed == 77
    assert second.app.prefs.theme == "light"


def test_a_folder_that_cannot_be_written_costs_a_sentence(start, home):
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file where the folder should be")
    app = start()
    app.app.document.edit(Scene(latent=Latent(seed=5)))
    app.wait_until(lambda: any("cannot be written" in text for text in app.messages), 10)


def test_what_could_not_be_kept_is_tried_again(start, home):
    home.write_text("a file where the folder should be")
    app = start()
    app.app.document.edit(Scene(latent=Latent(seed=5)))
    app.wait_until(lambda: any("cannot be written" in text for text in app.messages), 10)
    home.unlink()
    app.app.close()
    assert start().scene.latent.seed == 5


def test_what_cannot_be_kept_at_the_end_is_told_in_the_terminal(start, home, capsys):
    app = start()
    home.write_text("a file where the folder should be")
    app.app.document.edit(Scene(latent=Latent(seed=5)))
    app.app.close()
    assert "the session could not be kept" in capsys.readouterr().err


def test_what_was_set_is_kept_while_no_frame_is_drawn(app, home, monkeypatch):
    """A minimised window only polls."""
    monkeypatch.setattr(autosave, "INTERVAL", 0.05)
    app.app.document.edit(replace(app.scene, latent=replace(app.scene.latent, seed=321)))
    end = time.monotonic() + 20
    kept = home / preferences.SESSION
    while not kept.exists() or codec.load(kept).scene.latent.seed != 321:
        assert time.monotonic() < end
        app.app.poll()
        time.sleep(0.02)


def test_damaged_settings_and_session_are_set_aside_and_said(start, home):
    home.mkdir(parents=True)
    (home / preferences.SETTINGS).write_text("theme: [dark\n  :::")
    (home / preferences.SESSION).write_bytes(b"\x00\xff\x00garbage")
    app = start()
    assert app.scene == Scene()
    assert len(app.messages) == 2
    assert (home / "settings.yaml.damaged-1").exists()
    assert (home / "session.yaml.damaged-1").exists()
