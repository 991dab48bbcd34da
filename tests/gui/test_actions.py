"""A person at work: opens a network, drags, mixes, looks into a layer, undoes, saves; with real clicks and keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from session import Capture, Latent, Mixing, Model, Scene, Session, Truncation, png


def test_a_network_opens_by_its_path_and_its_picture_appears(app, other_network):
    before = app.picture
    app.fill("Model/path", str(other_network))
    app.wait_for_image()
    assert app.app.views.model.family == "StyleGAN2"
    assert app.picture.shape == (32, 32, 4) != before.shape
    assert app.app.prefs.recents[0] == str(other_network)


def test_a_drag_is_one_undo_step(app):
    app.drag("Truncation/psi", to=0.2)
    assert app.scene.truncation.psi == pytest.approx(0.2, abs=0.02)
    app.press("ctrl+z")
    assert app.scene.truncation == Truncation()
    app.press("ctrl+shift+z")
    assert app.scene.truncation.psi == pytest.approx(0.2, abs=0.02)
    assert not app.app.document.can_redo


def test_a_layer_is_mixed_and_unmixed(app):
    before = app.picture
    app.click("Mixing/layers 3")
    assert app.scene.mixing.layers == (3,)
    app.wait_for_image()
    assert not np.array_equal(app.picture, before)
    app.press("ctrl+z")
    app.wait_for_image()
    assert app.scene.mixing == Mixing()
    assert np.array_equal(app.picture, before)


def test_a_layer_is_looked_into(app):
    layer = app.app.views.model.layers[2]
    app.click(f"Layers/layer {layer.name}")
    app.wait_for_image()
    assert app.scene.capture.layer == layer.name
    assert app.picture.shape == (layer.height, layer.width, 4)
    assert np.isfinite(app.app.views.canvas.result.stats.std)


def test_a_picture_is_saved_with_its_session_and_comes_back_when_dropped(app, tmp_path):
    app.drag("Truncation/psi", to=0.5)
    app.wait_for_image()
    scene, picture = app.scene, app.picture
    app.press("ctrl+s")
    app.wait_until(lambda: bool(app.app.autosave.last_saved))
    saved = Path(app.app.autosave.last_saved)
    assert np.array_equal(np.asarray(Image.open(saved)), picture)
    assert png.read_session(saved).scene == scene
    app.press("ctrl+n")
    assert app.scene != scene
    app.app.drop([str(saved)])
    app.wait_for_image()
    assert app.scene == scene
    assert np.array_equal(app.picture, picture)


def test_the_window_is_saved_as_it_is_seen(app):
    app.press("ctrl+shift+p")
    app.wait_until(lambda: bool(app.app.autosave.last_saved))
    assert np.asarray(Image.open(app.app.autosave.last_saved)).shape == (800, 1280, 3)


def test_saved_pictures_are_numbered_and_never_written_over(app):
    for count in (1, 2):
        app.app.autosave.last_saved = ""
        app.press("ctrl+s")
        app.wait_until(lambda: bool(app.app.autosave.last_saved))
        assert Path(app.app.autosave.last_saved).name == f"{count - 1:05d}.png"


def test_esc_never_ends_the_program(app):
    for opened in ("ctrl+o", "f1", "ctrl+shift+s"):
        app.press(opened)
        app.press("esc")
        app.press("esc")
        assert app.app.file_dialog.kind is None
        assert not app.app.overlay
    app.press("t")
    app.press("tab")
    app.press("esc")
    assert app.app.canvas.tool == "latent"
    assert not app.app.panels_hidden
    assert not app.app.closing


def test_keys_do_nothing_while_a_text_is_typed(app):
    seed = app.scene.latent.seed
    app.click("Model/path")
    app.type("rrr")
    app.press("r")
    app.press("space")
    assert app.scene.latent.seed == seed
    assert app.app.document.playing
    app.press("esc")
    app.press("r")
    assert app.scene.latent.seed != seed


def test_opening_another_network_is_one_step_and_undo_brings_the_old_one_back(app, other_network):
    app.click("Layers/layer L2_36_10")
    scene = app.scene
    app.app.drop([str(other_network)])
    app.wait_for_image()
    assert app.scene.capture.layer == ""
    app.press("ctrl+z")
    app.wait_for_image()
    assert app.scene == scene
    assert app.app.views.model.family == "StyleGAN3-T"


def test_a_run_folder_opens_by_its_newest_snapshot(app, network, other_network, tmp_path):
    run = tmp_path / "00003-gamma8"
    run.mkdir()
    network.rename(run / "network-snapshot-000100.pkl")
    other_network.rename(run / "network-snapshot-000200.pkl")
    app.app.drop([str(run)])
    app.wait_for_image()
    assert app.app.views.model.family == "StyleGAN2"
    assert app.app.views.model.file.endswith("network-snapshot-000200.pkl")


def test_a_projected_latent_is_taken_by_dropping_it(app, tmp_path):
    (tmp_path / "projected_w.npz").write_bytes(b"")
    app.app.drop([str(tmp_path / "projected_w.npz")])
    app.frames(2)
    assert app.scene.latent.projected == str(tmp_path / "projected_w.npz")


def test_urls_and_odd_paths_cost_a_sentence_at_most(app, other_network):
    app.app.drop([other_network.as_uri()])
    app.frames(2)
    app.wait_for_image()
    assert app.app.views.model.name == other_network.stem
    for path, said in (
        ("https://127.0.0.1:9/x.pkl?download=true", "127.0.0.1"),
        ("~nosuchuser/x.pkl", "nosuchuser"),
        (f"/{'x' * 300}/y.pkl", "xxx"),
    ):
        app.app.post_command("file.drop", path)
        app.wait_until(lambda said=said: any(said in message for message in app.messages))
    app.press("ctrl+o")
    app.type(f"/{'x' * 300}")
    app.press("enter")
    assert app.app.file_dialog.kind is not None, "it goes on, and says why"


def test_giving_up_on_a_network_brings_back_what_went_with_the_old_one(app, other_network):
    layer = app.app.views.model.layers[3].name
    app.app.document.edit(replace(app.scene, capture=Capture(layer=layer)))
    app.wait_for_image()
    before = app.scene
    app.app.post_command("file.open", str(other_network))
    app.frames()
    assert app.scene.capture == Capture()
    app.app.cancel()
    assert app.scene == before


def test_thumbnails_load_quietly(app):
    """Only what the picture on the canvas waits for is told over it."""
    demo = Scene()
    app.wait_until(lambda: app.app.views.request_view("thumbnail", demo) is not None, 60)
    app.frames(2)
    assert app.app.views.progress is None


def test_a_drop_of_something_else_is_refused_in_a_sentence(app, tmp_path):
    scene = app.scene
    (tmp_path / "notes.txt").write_text("hello")
    app.app.drop([str(tmp_path / "notes.txt")])
    app.frames(2)
    assert "notes.txt is nothing that can be opened here" in app.messages[-1]
    assert app.scene == scene


def test_a_broken_network_is_refused_in_a_sentence_and_the_old_picture_stays(app, tmp_path):
    before, scene, recents = app.picture, app.scene, app.app.prefs.recents
    broken = tmp_path / "broken.pkl"
    broken.write_bytes(b"\x80\x04not a network at all")
    app.app.drop([str(broken)])
    app.wait_until(lambda: app.messages and "broken.pkl" in app.messages[-1])
    app.frames(2)
    app.wait_for_image()
    assert np.array_equal(app.picture, before)
    assert (app.scene, app.app.prefs.recents) == (scene, recents), "a failed open is a message and nothing else"
    assert not app.app.document.can_undo
    app.drag("Truncation/psi", to=0.2)
    app.wait_for_image()
    assert not np.array_equal(app.picture, before), "the old network goes on answering"
    assert app.app.views.canvas.problem is None


def test_what_was_edited_while_a_bad_network_loaded_stays(app, tmp_path):
    model = app.scene.model
    (tmp_path / "broken.pkl").write_bytes(b"nothing")
    app.app.drop([str(tmp_path / "broken.pkl")])
    app.frames(1)
    app.app.document.edit(replace(app.scene, truncation=Truncation(psi=0.3)))
    app.wait_until(lambda: bool(app.messages))
    app.frames(2)
    assert (app.scene.model, app.scene.truncation.psi) == (model, 0.3)
    app.press("ctrl+z")
    assert (app.scene.model, app.scene.truncation.psi) == (model, 1.0)
    assert not app.app.document.can_undo


def test_a_device_that_is_not_there_is_refused_and_the_old_one_goes_on(app):
    before = app.scene.compute
    app.app.document.edit(replace(app.scene, compute=replace(before, device="cuda:7")))
    app.wait_until(lambda: bool(app.messages))
    app.frames(2)
    app.wait_for_image()
    assert app.scene.compute == before


def test_a_session_is_saved_and_opened_again(app, tmp_path):
    app.drag("Truncation/psi", to=0.4)
    scene = app.scene
    app.press("ctrl+shift+s")
    app.press("ctrl+a")
    app.type(str(tmp_path / "mine"))
    app.press("enter")
    assert (tmp_path / "mine.yaml").exists()
    app.press("ctrl+n")
    app.app.drop([str(tmp_path / "mine.yaml")])
    app.frames(2)
    assert app.scene == scene


def test_the_first_motion_stops_at_the_first_touch_and_is_not_lost(start, network):
    scene = Scene(model=Model(path=str(network)), latent=Latent(drift_x=0.5))
    app = start(Session((scene,)), start_in_attract_mode=True)
    app.frames(10)
    assert app.scene.latent.x > 0
    moved = app.scene.latent
    app.click("Canvas")
    stopped = app.scene.latent
    assert stopped.drift_x == 0
    assert moved.x < stopped.x < moved.x + 0.1
    app.frames(5)
    assert app.scene.latent == stopped
    assert not app.app.document.can_undo


def test_an_edit_while_things_move_keeps_what_is_seen(app):
    app.app.document.edit(replace(app.scene, latent=Latent(drift_x=1.0)))
    app.frames(30)
    before = app.scene.latent.x
    app.drag("Truncation/psi", to=0.5, frames=2)
    assert app.scene.latent.x >= before
    app.press("ctrl+z")
    assert app.scene.truncation == Truncation()
    assert app.scene.latent.x >= before - 0.01, "undo takes back the edit, not the time that went by"


def test_a_second_picture_that_is_out_of_sight_is_not_made_again(app, renderer):
    app.wait_until(lambda: app.app.views.request_view("beside", app.scene) is not None)
    app.frames(3)
    renderer.resend_all()  # as after a renderer that was lost
    assert renderer.is_busy("canvas")
    assert not renderer.is_busy("beside")
    app.wait_until(lambda: not renderer.is_busy("canvas"))
