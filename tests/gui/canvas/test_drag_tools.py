"""Dragging on the image: what is moved or rotated stays under the mouse."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gui.canvas import drag_tools
from session import Scene, Transform
from session.scene import transform_matrix


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
            assert through(transform_matrix(turned), point) == pytest.approx(to_widths(after, center, width), abs=1e-6)


def to_widths(point, center, width):
    return (point[0] - center[0]) / width, (point[1] - center[1]) / width


def through(rows, point):
    x, y = point
    return tuple(row[0] * x + row[1] * y + row[2] for row in rows[:2])


def inverse(transform):
    (a, b, x), (c, d, y), _ = transform_matrix(transform)
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return (a, b, -a * x - b * y), (c, d, -c * x - d * y), (0.0, 0.0, 1.0)
