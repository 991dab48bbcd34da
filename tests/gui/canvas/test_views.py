"""A slow network under the hand: previews while it moves, marked as such, and the exact picture when it rests."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from gui.controls import ui
from networks import save_networks
from networks.architectures.stylegan3 import Generator
from networks.config import StyleGAN3Config
from ops import kernels
from session import Model, Scene, Session, Transform

SLOW = StyleGAN3Config(
    img_resolution=128,
    channel_base=16384,
    channel_max=256,
    mapping_num_layers=2,
    conv_kernel=1,
    use_radial_filters=True,
)


@pytest.fixture
def slow(start, tmp_path):
    if not kernels.load(wait=True):
        pytest.skip(f"there is no C++ kernel: {kernels.unavailable_reason()}")
    torch.manual_seed(0)
    save_networks(tmp_path / "slow.safetensors", {"G_ema": Generator(SLOW)})
    driver = start(Session((Scene(model=Model(path=str(tmp_path / "slow.safetensors"))),)))
    driver.wait_for_image(60)
    return driver


def hold(app, by: float) -> None:
    """Take hold of the picture and move it, without letting go."""
    x, y = app.center("Picture")
    app.move((x, y))
    app.screen.press()
    app.frames()
    app.move((x + by, y), 3)


def test_a_moving_hand_sees_previews_and_a_resting_one_the_exact_picture(slow):
    app, canvas = slow, slow.app.views.canvas
    assert not canvas.result.preview
    hold(app, 60)
    app.wait_until(lambda: canvas.result.preview and canvas.result.scene == app.scene)
    app.frames()
    assert "Preview" in ui.ITEM_RECTS
    preview = app.picture
    app.wait_until(lambda: not canvas.result.preview)  # it rests, though it has not let go
    assert canvas.result.scene == app.scene
    assert app.picture.shape == preview.shape
    assert not np.array_equal(app.picture, preview)
    app.frames(2)
    assert "Preview" not in ui.ITEM_RECTS
    app.screen.release()
    app.frames(2)


def test_under_the_hand_what_moves_by_itself_is_previews_too(slow):
    app, views = slow.app, slow.app.views
    app.document.edit(replace(slow.scene, transform=Transform(spin=20)))
    hold(slow, 60)
    slow.wait_until(lambda: views.canvas.result.preview)
    app.poll(0.02)
    seen = []
    end = time.monotonic() + 60
    while len(seen) < 3:  # between two frames answers make the next questions
        assert time.monotonic() < end
        if app.poll(0.02) and views.canvas.result not in seen:
            seen.append(views.canvas.result)
        time.sleep(0.002)
    assert all(result.preview for result in seen)
    slow.screen.release()
    slow.frames(2)


def test_a_preview_is_never_saved(slow):
    canvas, folder = slow.app.views.canvas, slow.app.prefs.capture_path
    hold(slow, 60)
    slow.wait_until(lambda: canvas.result.preview)
    slow.app.post_command("capture.picture")
    slow.frames()
    if canvas.result.preview:
        assert not list(folder.glob("*.png"))
        assert any("exact picture is on its way" in text for text in slow.messages)
    slow.screen.release()
    slow.wait_for_image()
    assert not canvas.result.preview


def test_previews_can_be_switched_off(slow):
    canvas = slow.app.views.canvas
    slow.app.post_command("settings.set", "preview", False)
    slow.frames(2)
    before = canvas.result
    hold(slow, 60)
    slow.wait_until(lambda: canvas.result is not before and canvas.result.scene == slow.scene)
    assert not canvas.result.preview
    slow.screen.release()
    slow.frames(2)
