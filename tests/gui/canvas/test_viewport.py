"""Looking at a picture: fit, zoom to the cursor, and dragging that follows the hand; plain numbers."""

from __future__ import annotations

import random

import pytest

from gui.canvas import viewport

BOX = (300.0, 50.0, 700.0, 600.0)


def test_a_fitted_picture_is_whole_and_in_the_middle():
    for pixels in ((128, 128), (1024, 1024), (1920, 1080), (4, 4), (3, 700)):
        rect = viewport.image_rect(viewport.ViewTransform(), BOX, pixels)
        assert rect.width <= BOX[2] and rect.height <= BOX[3]
        assert rect.center == pytest.approx((650, 350), abs=1)


def test_zooming_keeps_what_is_under_the_cursor():
    chance = random.Random(1)
    view, pixels = viewport.ViewTransform(), (512, 256)
    for _ in range(100):
        at = (chance.uniform(300, 1000), chance.uniform(50, 650))
        before = viewport.image_rect(view, BOX, pixels)
        view = viewport.zoom_at(view, BOX, pixels, chance.choice((1.2, 1 / 1.2)), at)
        after = viewport.image_rect(view, BOX, pixels)
        for axis in (0, 1):
            shares = [
                (at[axis] - (rect.left, rect.top)[axis]) / (rect.width, rect.height)[axis] for rect in (before, after)
            ]
            assert shares[0] == pytest.approx(shares[1], abs=3 / min(before.width, after.width))


def test_actual_size_puts_a_pixel_on_a_pixel():
    assert (
        viewport.image_rect(viewport.actual_size(viewport.ViewTransform(), (512, 512), 2.0), BOX, (512, 512)).width
        == 256
    )
