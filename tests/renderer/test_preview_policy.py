"""While the user drags, a slow network of config R may show previews, always followed by the exact image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from renderer_driver import read_pixels
from small_networks import scene_of
from test_engine import assert_matches_fresh_engine

from ops import kernels
from renderer.engine import Engine
from session import Capture, Inspect, Latent, Transform


@pytest.fixture(autouse=True)
def kernel() -> None:
    if not kernels.load(wait=True):
        pytest.skip(f"there is no C++ kernel: {kernels.unavailable_reason()}")


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR in dB."""
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - other).mean()))


def test_a_preview_is_nearly_the_image_and_changes_no_exact_one(networks: dict[str, Path]) -> None:
    engine = Engine()
    scene = scene_of(networks["slow R"], latent=Latent(seed=3))
    assert not engine.render(scene, moving=True).preview  # how slow it is has to be seen first
    for seed, transform in ((3, Transform()), (4, Transform(translate_x=0.1, rotate=20)), (5, Transform(scale=2))):
        scene = replace(scene, latent=Latent(seed=seed), transform=transform)
        preview = engine.render(scene, moving=True)
        exact = engine.render(scene)
        assert preview.preview and not exact.preview
        assert (preview.height, preview.width) == (exact.height, exact.width)
        assert preview.model == exact.model
        assert likeness(read_pixels(preview), read_pixels(exact)) > 35
        assert not np.array_equal(read_pixels(preview), read_pixels(exact))
        assert_matches_fresh_engine(exact, scene)


def test_what_is_inspected_is_exact(networks: dict[str, Path]) -> None:
    engine = Engine()
    scene = scene_of(networks["slow R"])
    layer = engine.render(scene).model.layers[4].name
    for part in (
        {"capture": Capture(layer=layer)},
        {"inspect": Inspect(show="spectrum")},
        {"transform": Transform(translate_x=0.1, undo=True)},
    ):
        assert not engine.render(replace(scene, **part), moving=True).preview


@pytest.mark.parametrize("family", ["R", "slow", "SG2"])
def test_quick_networks_and_those_that_know_their_grid_have_none(family: str, networks: dict[str, Path]) -> None:
    engine = Engine()
    scene = scene_of(networks[family])
    engine.render(scene)
    assert not engine.render(replace(scene, latent=Latent(seed=1)), moving=True).preview
