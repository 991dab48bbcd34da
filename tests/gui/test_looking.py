"""Looking at a picture: fit, zoom to the cursor, and dragging that follows the hand; plain numbers."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gui.canvas import drag_tools, viewport
from gui.chrome import directory_listing
from session import Scene, Transform
from session.scene import matrix

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


def test_a_moved_or_turned_picture_stays_under_the_hand():
    chance = random.Random(2)
    center, width = (650.0, 350.0), 500.0
    for _ in range(50):
        transform = Transform(
            translate_x=chance.uniform(-0.5, 0.5),
            translate_y=chance.uniform(-0.5, 0.5),
            rotate=chance.uniform(-180, 180),
            scale=chance.uniform(0.5, 2),
        )
        before = (center[0] + chance.uniform(-200, 200), center[1] + chance.uniform(-200, 200))
        after = (before[0] + chance.uniform(-60, 60), before[1] + chance.uniform(-60, 60))
        scene = replace(Scene(), transform=transform)
        for drag in (drag_tools.move, drag_tools.turn):
            turned = drag(scene, before, after, center, width).transform
            if turned == transform:  # the hand was too near to the pivot
                continue
            point = through(inverse(transform), to_widths(before, center, width))
            assert through(matrix(turned), point) == pytest.approx(to_widths(after, center, width), abs=1e-6)


def to_widths(point, center, width):
    return (point[0] - center[0]) / width, (point[1] - center[1]) / width


def through(rows, point):
    x, y = point
    return tuple(row[0] * x + row[1] * y + row[2] for row in rows[:2])


def inverse(transform):
    (a, b, x), (c, d, y), _ = matrix(transform)
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return (a, b, -a * x - b * y), (c, d, -c * x - d * y), (0.0, 0.0, 1.0)


def test_the_browser_lists_what_can_be_opened_in_an_order_that_people_expect(tmp_path):
    for name in ("b.pkl", "snapshot-10.pkl", "snapshot-9.pkl", "notes.txt", ".hidden.pkl", "A.SAFETENSORS"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "zoo").mkdir()
    found = [entry.name for entry in directory_listing.list_entries(tmp_path, (".pkl", ".safetensors"))]
    assert found == ["zoo", "A.SAFETENSORS", "b.pkl", "snapshot-9.pkl", "snapshot-10.pkl"]


def test_a_run_folder_is_known_by_its_newest_snapshot(tmp_path):
    assert directory_listing.newest_snapshot(tmp_path) == ""
    (tmp_path / "network-snapshot-000200.pkl").touch()
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "network-snapshot-001000.safetensors").touch()
    assert directory_listing.newest_snapshot(tmp_path) == "network-snapshot-001000.safetensors"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_949, "9.9 kB"), (12_345_678, "12 MB"), (3e12, "3.0 TB")],
)
def test_sizes_read_as_people_write_them(size, words):
    assert directory_listing.format_size(int(size)) == words
