"""Every stage runs only when its inputs changed; the image equals, bit for bit, that of a fresh engine."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from renderer_driver import read_pixels
from small_networks import FAMILIES, scene_of

from renderer.engine import Engine
from renderer.stages.render_output import RenderOutput
from session import Capture, Inspect, Latent, Mixing, Noise, Picture, Scene, Spectrum, Transform, Truncation


def assert_matches_fresh_engine(finished: RenderOutput, scene: Scene) -> None:
    """The output equals that of an engine without any cache."""
    fresh = Engine().render(scene)
    assert np.array_equal(read_pixels(finished), read_pixels(fresh))
    assert finished.stats == fresh.stats
    assert finished.readings.keys() == fresh.readings.keys()
    for name, reading in fresh.readings.items():
        assert np.array_equal(finished.readings[name], reading), name


def count_layers(engine: Engine, scene: Scene, view: str = "canvas") -> tuple[RenderOutput, int]:
    """The output, and the number of layers that ran, without the last one (which cannot be cancelled)."""
    calls: list[float | None] = []
    return engine.render(scene, view, on_layer=calls.append), len(calls)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_changed_row_resumes_at_the_first_layer_that_reads_it(family: str, networks: dict[str, Path]) -> None:
    engine = Engine()
    base = scene_of(networks[family])
    steps = engine.render(base).model.layers
    for row in range(len(engine.render(base).model.row_names)):
        engine.render(replace(base, mixing=Mixing(layers=(row,))))  # maps the second seed
        engine.render(base)
        mixed = replace(base, mixing=Mixing(layers=(row,)))
        finished = engine.render(mixed)
        first = next(layer.name for layer in steps if row in layer.rows)
        assert finished.resumed_at == first
        assert_matches_fresh_engine(finished, mixed)
        assert_matches_fresh_engine(engine.render(base), base)


@pytest.mark.parametrize("family", FAMILIES)
def test_any_sequence_of_edits_gives_the_images_of_a_fresh_start(family: str, networks: dict[str, Path]) -> None:
    engine = Engine()
    dice = random.Random(f"{family} edits")
    scene = scene_of(networks[family])
    layers = ["", *(layer.name for layer in engine.render(scene).model.layers)]
    edits: list[Callable[[Scene], Scene]] = [
        lambda s: replace(s, latent=Latent(seed=dice.randrange(3), x=dice.choice((0, 0.25)), y=dice.choice((0, 0.5)))),
        lambda s: replace(s, truncation=Truncation(dice.choice((1, 0.5)), dice.choice((None, 2, 5)))),
        lambda s: replace(s, mixing=Mixing(seed=dice.randrange(9, 11), layers=(dice.randrange(8), dice.randrange(8)))),
        lambda s: replace(s, noise=Noise(dice.choice(("const", "random", "none")), dice.randrange(2))),
        lambda s: replace(s, transform=Transform(rotate=dice.choice((0, 30.0)), at_input=dice.random() < 0.5)),
        lambda s: replace(s, transform=Transform(translate_x=0.25, undo=True, whole_pixels=dice.random() < 0.5)),
        lambda s: replace(s, capture=Capture(dice.choice(layers), dice.randrange(4), dice.random() < 0.5)),
        lambda s: replace(s, inspect=Inspect(dice.choice(("picture", "spectrum")), Picture(dice.choice((0.0, 6.0))))),
        lambda s: replace(s, inspect=Inspect(picture=Picture(normalize=True, colormap="magma"))),
    ]
    for _ in range(40):
        scene = dice.choice(edits)(scene)
        assert_matches_fresh_engine(engine.render(scene, dice.choice(("canvas", "other"))), scene)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_control_of_the_display_runs_the_last_stage_only(family: str, networks: dict[str, Path]) -> None:
    engine = Engine()
    base = scene_of(networks[family])
    engine.render(base)
    for inspect in (
        Inspect(picture=Picture(gain_db=6)),
        Inspect("spectrum"),
        Inspect("spectrum", spectrum=Spectrum(beta=2)),
    ):
        scene = replace(base, inspect=inspect)
        finished, layers = count_layers(engine, scene)
        assert (finished.resumed_at, layers) == ("picture", 0)
        assert_matches_fresh_engine(finished, scene)
    finished, layers = count_layers(engine, replace(base, inspect=Inspect("spectrum", spectrum=Spectrum(beta=2))))
    assert (finished.resumed_at, layers) == ("", 0)


def test_what_only_matters_in_motion_changes_nothing(networks: dict[str, Path]) -> None:
    engine = Engine()
    base = scene_of(networks["T"])
    engine.render(base)
    drifting = replace(base, latent=Latent(drift_x=1), transform=Transform(spin=10), mixing=Mixing(seed=5, drift=1))
    assert engine.render(drifting).resumed_at == ""


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_after_the_inspected_one_do_not_run(family: str, networks: dict[str, Path]) -> None:
    base = scene_of(networks[family])
    names = [layer.name for layer in Engine().render(base).model.layers]
    for index, name in enumerate(names):
        scene = replace(base, capture=Capture(name))
        finished, checks = count_layers(Engine(), scene)
        assert checks == index
        assert finished.resumed_at == "model"


def test_inspecting_a_later_layer_resumes_at_the_one_inspected_before(networks: dict[str, Path]) -> None:
    engine = Engine()
    base = scene_of(networks["T"])
    names = [layer.name for layer in engine.render(base).model.layers]
    engine.clear_caches()
    engine.render(replace(base, capture=Capture(names[3])))
    assert engine.render(base).resumed_at == names[4]
    assert engine.render(replace(base, capture=Capture(names[2]))).resumed_at == "picture"


def test_two_views_of_one_image_share_its_layers(networks: dict[str, Path]) -> None:
    engine = Engine()
    base = scene_of(networks["R"], latent=Latent(seed=3))
    engine.render(base, "canvas")
    finished, layers = count_layers(engine, replace(base, inspect=Inspect("spectrum")), "spectrum")
    assert layers == 0
    assert_matches_fresh_engine(finished, replace(base, inspect=Inspect("spectrum")))


def test_a_new_transform_runs_from_the_input_and_leaves_the_network_as_it_was(networks: dict[str, Path]) -> None:
    engine = Engine()
    base = scene_of(networks["T"])
    straight = engine.render(base)
    turned = engine.render(replace(base, transform=Transform(rotate=30)))
    assert turned.resumed_at == "input"
    assert not np.array_equal(read_pixels(straight), read_pixels(turned))
    assert_matches_fresh_engine(engine.render(base), base)


@pytest.mark.parametrize("layer", [0, 2, 5])
def test_a_cancelled_image_leaves_nothing_wrong_behind(layer: int, networks: dict[str, Path]) -> None:
    engine = Engine()
    base = scene_of(networks["T"], transform=Transform(rotate=20))
    calls = 0

    def give_up(_remaining: float | None) -> None:
        nonlocal calls
        calls += 1
        if calls > layer:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.render(base, on_layer=give_up)
    for scene in (base, scene_of(networks["T"])):
        assert_matches_fresh_engine(engine.render(scene), scene)


def test_with_no_memory_to_spare_images_are_the_same(networks: dict[str, Path]) -> None:
    engine = Engine()
    base = scene_of(networks["SG2"])
    engine.render(base)
    loaded = engine._views["canvas"].loaded
    loaded.cache_budget, loaded.cached_layers = 0, None
    for row in range(6):
        scene = replace(base, mixing=Mixing(layers=(row,)))
        assert_matches_fresh_engine(engine.render(scene), scene)
    engine.clear_caches()
    assert_matches_fresh_engine(engine.render(base), base)
