"""Transforms of the network's input and of the image."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from renderer_driver import read_pixels
from small_networks import scene_of

from networks import load_network
from networks.architectures import stylegan3
from networks.sampling import draw_latents, to_uint8
from renderer.engine import Engine
from session import Scene, Transform


def render_pixels(scene: Scene) -> np.ndarray:
    return read_pixels(Engine().render(scene))


def test_whole_pixels_move_the_finished_image_exactly(networks: dict[str, Path]) -> None:
    base = scene_of(networks["SG2"])
    still = render_pixels(base)
    move = Transform(translate_x=0.26, translate_y=-0.49, whole_pixels=True, at_input=False)  # 4 right, 8 up
    moved = render_pixels(replace(base, transform=move))
    assert np.array_equal(moved[:8, 4:], still[8:, :12])
    assert (moved[8:, :, 3] == 0).all()
    assert (moved[:, :4, 3] == 0).all()


def test_without_an_input_transform_the_image_is_transformed(networks: dict[str, Path]) -> None:
    base = scene_of(networks["SG2"], transform=Transform(rotate=20))
    off = replace(base, transform=Transform(rotate=20, at_input=False))
    assert np.array_equal(render_pixels(base), render_pixels(off))
    assert not Engine().render(base).model.has_transform


def test_undo_moves_the_finished_image_back(networks: dict[str, Path]) -> None:
    base = scene_of(networks["T"])
    still = render_pixels(base)
    there_and_back = Transform(translate_x=0.25, whole_pixels=True, at_input=False, undo=True)
    back = render_pixels(replace(base, transform=there_and_back))
    covered = back[:, :, 3] == 255
    assert np.array_equal(back[covered], still[covered])
    assert covered[:, :12].all()
    assert not covered[:, 12:].any()


def test_the_input_moves_by_the_published_convention(networks: dict[str, Path]) -> None:
    network = load_network(networks["R"]).generator
    assert isinstance(network, stylegan3.Generator)
    angle, (tx, ty) = math.radians(30), (0.1, -0.05)
    forward = [[math.cos(angle), math.sin(angle), tx], [-math.sin(angle), math.cos(angle), ty], [0, 0, 1]]
    network.synthesis.input.transform.copy_(torch.linalg.inv(torch.tensor(forward, dtype=torch.float64)))
    expected = to_uint8(network(draw_latents([0], 16)[0]))[0].permute(1, 2, 0).numpy()
    scene = scene_of(networks["R"], transform=Transform(translate_x=tx, translate_y=ty, rotate=30))
    assert np.array_equal(render_pixels(scene)[:, :, :3], expected)


def test_extreme_transforms_still_give_an_image(networks: dict[str, Path]) -> None:
    for at_input in (True, False):
        for scale in (0.1, 10.0):
            move = Transform(translate_x=2, translate_y=-2, rotate=359, scale=scale, at_input=at_input, undo=True)
            assert render_pixels(scene_of(networks["T"], transform=move)).shape == (16, 16, 4)
