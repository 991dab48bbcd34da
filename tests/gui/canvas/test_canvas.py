"""Dragging and zooming on the canvas with the mouse."""

from __future__ import annotations

import numpy as np
import pytest

from gui.canvas import pixel_probe
from session import Latent


def test_dragging_the_picture_moves_the_latent_and_changes_the_picture(app):
    before = app.picture
    app.drag("Picture", by=(160, 40))
    assert app.scene.latent != Latent()
    app.wait_for_image()
    assert not np.array_equal(app.picture, before)


def test_a_flick_between_two_frames_is_a_drag_too(app):
    x, y = app.center("Picture")
    app.screen.move(x, y)  # a finger on a touch screen: it arrives and presses at once
    app.screen.press()
    app.screen.move(x + 90, y)
    app.screen.release()
    app.frames(4)
    assert app.scene.latent.x > 0.1
    app.press("ctrl+z")
    assert app.scene.latent == Latent()


def test_what_is_shown_follows_the_hand_when_the_picture_is_moved(app):
    app.press("m")
    left, top, right, _bottom = app.item_rect("Picture")
    app.drag("Picture", by=((right - left) / 4, (right - left) / 8))
    transform = app.scene.transform
    assert (transform.translate_x, transform.translate_y) == pytest.approx((0.25, 0.125), abs=0.01)


def test_turning_by_a_quarter_around_the_centre_rotates_by_a_quarter(app):
    app.press("t")
    x, y = app.center("Picture")
    app.drag_between((x + 100, y), (x, y - 100), frames=1)
    assert app.scene.transform.rotate == pytest.approx(90, abs=2)
    assert app.scene.transform.scale == pytest.approx(1, abs=0.02)


def test_zooming_keeps_the_point_under_the_mouse(app):
    left, top, right, bottom = app.item_rect("Picture")
    point = (left + 0.25 * (right - left), top + 0.75 * (bottom - top))
    app.move(point)
    app.screen.wheel(3)
    app.frames(2)
    left, top, right, bottom = app.item_rect("Picture")
    assert right - left > 800
    assert (left + 0.25 * (right - left), top + 0.75 * (bottom - top)) == pytest.approx(point, abs=2)
    app.double_click("Canvas")
    left, top, right, bottom = app.item_rect("Picture")
    assert bottom - top < 760


def pixels_on_screen(app, column: int, row: int) -> np.ndarray:
    """What the screen shows of one image pixel, without its edge, uint8 [N, 3]."""
    left, top, right, bottom = app.item_rect("Picture")
    height, width = app.picture.shape[:2]
    across, down = (right - left) / width, (bottom - top) / height
    screen = app.screen.screenshot()
    rows = slice(round(top + row * down) + 1, round(top + (row + 1) * down) - 1)
    columns = slice(round(left + column * across) + 1, round(left + (column + 1) * across) - 1)
    return screen[rows, columns].reshape(-1, 3)


def test_above_200_percent_every_pixel_is_a_crisp_square_of_its_color(app):
    app.move(app.center("Canvas"))
    for notches in (0, 3, 4):
        app.screen.wheel(notches)
        app.frames(3)
        assert app.app.canvas.zoom > 2
        for column, row in ((30, 31), (33, 28), (35, 34)):
            shown = pixels_on_screen(app, column, row)
            assert len(shown) > 20
            assert (shown == app.picture[row, column, :3]).all()


def test_large_pixels_are_blended_by_choice(app):
    app.click("Menu/View")
    app.click("Menu/Smooth large pixels")
    app.press("esc")
    assert app.app.prefs.smooth
    assert len(np.unique(pixels_on_screen(app, 30, 31), axis=0)) > 1


def test_a_crisp_picture_follows_its_scene(app):
    app.drag("Truncation/psi", to=-0.5)
    app.wait_for_image()
    assert (pixels_on_screen(app, 20, 40) == app.picture[40, 20, :3]).all()


def point_at(app, column: int, row: int) -> tuple[float, float]:
    """The point of the screen in the middle of an image pixel."""
    left, top, right, bottom = app.item_rect("Picture")
    height, width = app.picture.shape[:2]
    return left + (column + 0.5) * (right - left) / width, top + (row + 0.5) * (bottom - top) / height


def probe_text(app) -> str:
    return pixel_probe.text(app.app.canvas.probe, app.app.views.canvas.result)


def test_the_status_bar_tells_the_pixel_under_the_mouse(app):
    app.move(point_at(app, 12, 40))
    app.wait_until(lambda: "probe" in app.app.views.canvas.result.readings)
    app.frames(2)
    red, green, blue, _ = app.picture[40, 12]
    assert f"x 12  y 40  ·  rgb {red} {green} {blue}" in probe_text(app)
    left, top, right, bottom = app.item_rect("Status/probe")
    assert right < app.screen.width and bottom <= app.screen.height
    app.move(app.center("Layers/layer"))
    assert app.app.canvas.probe is None


def test_in_a_feature_map_the_probe_tells_the_values_of_its_channels(app):
    app.click("Layers/layer input")
    app.wait_for_image()
    app.click("Layers/rgb")
    app.wait_for_image()
    layer, images = app.scene.capture.layer, app.app.views.meter.timings.maxlen
    counted = len(app.app.views.meter.timings)
    for place in ((5, 7), (20, 11)):
        app.move(point_at(app, *place))
        app.wait_for_image()
        result = app.app.views.canvas.result
        value = float(result.readings["probe"][0])
        assert probe_text(app).startswith(f"x {place[0]}  y {place[1]}  ·  {layer}  ·  channel 0:")
        gray = round(min(max(value * 127.5 + 128, 0), 255) - 0.5)  # the mapping of published images
        assert abs(int(app.picture[place[1], place[0], 0]) - gray) <= 1
    assert len(app.app.views.meter.timings) == counted < images, "what is only probed is no new image"
