"""Which channels of a layer or an image are shown, and their statistics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from renderer_driver import read_pixels
from small_networks import scene_of

from networks import load_network
from networks.sampling import draw_latents, to_uint8
from renderer.engine import Engine
from renderer.errors import RenderError
from session import Capture, Inspect, Model, Scene


def render_pixels(scene: Scene) -> np.ndarray:
    return read_pixels(Engine().render(scene))


@torch.no_grad()  # as the renderer computes
def layer_map(path: Path, name: str) -> torch.Tensor:
    """The feature map of a layer for seed 0, [C, H, W]."""
    network = load_network(path).generator
    step = network.synthesis.step(name)
    return network.synthesis.run(network.mapping(draw_latents([0], 16)[0]), stop=step.index + 1).x[0]


def test_a_layers_channels_are_shown_as_colors_or_one_by_one(networks: dict[str, Path]) -> None:
    features = layer_map(networks["T"], "L1_24_16")
    expected = to_uint8(features)
    base = scene_of(networks["T"])
    three = render_pixels(replace(base, capture=Capture("L1_24_16", channel=4)))
    assert np.array_equal(three[:, :, :3], expected[4:7].permute(1, 2, 0).numpy())
    one = render_pixels(replace(base, capture=Capture("L1_24_16", channel=4, rgb=False)))
    assert all(np.array_equal(one[:, :, k], expected[4].numpy()) for k in range(3))
    assert (one[:, :, 3] == 255).all()


def test_a_channel_beyond_the_last_shows_the_last(networks: dict[str, Path]) -> None:
    base = scene_of(networks["T"])
    far = Engine().render(replace(base, capture=Capture("L1_24_16", channel=60000)))
    last = render_pixels(replace(base, capture=Capture("L1_24_16", channel=13)))
    assert np.array_equal(read_pixels(far), last)


def test_an_unknown_layer_is_one_sentence_that_helps(networks: dict[str, Path]) -> None:
    engine = Engine()
    with pytest.raises(RenderError, match="no layer 'L1_24_61': did you mean L1_24_16"):
        engine.render(scene_of(networks["T"], capture=Capture("L1_24_61")))
    with pytest.raises(RenderError, match="known are b4.conv1"):
        engine.render(scene_of(networks["SG2"], capture=Capture("???")))
    assert engine.render(scene_of(networks["SG2"], capture=Capture("b8.torgb"))).height == 8


def test_readings_stay_small_and_statistics_are_those_of_the_map(networks: dict[str, Path]) -> None:
    features = layer_map(networks["T"], "L2_24_16")
    finished = Engine().render(
        scene_of(networks["T"], capture=Capture("L2_24_16", channel=1), inspect=Inspect("spectrum"))
    )
    assert sum(reading.nbytes for reading in finished.readings.values()) <= 65536
    assert finished.readings["histogram"].sum() == features.numel()
    stats = finished.stats
    assert (stats.mean, stats.std) == pytest.approx(
        (float(features.mean()), float(features.std(correction=0))), abs=1e-5
    )
    assert stats.max_abs == float(features.abs().max())
    assert stats.shown_max_abs == float(features[1:4].abs().max())


def test_blue_first_files_are_shown_with_red_first(networks: dict[str, Path]) -> None:
    rgb = render_pixels(scene_of(networks["T"]))
    bgr = render_pixels(Scene(model=Model(path=str(networks["T"]), channel_order="bgr")))
    assert np.array_equal(bgr[:, :, :3], rgb[:, :, 2::-1])
