"""The seed plane has no seams, and the transform's matrix follows the conventions."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from session import Latent, Transform
from session.scene import NUM_SEEDS, bilinear_seeds, move_latent, transform_matrix


def weights(latent: Latent) -> dict[int, float]:
    return dict(bilinear_seeds(latent.seed, latent.x, latent.y))


@pytest.mark.parametrize("seed", range(30))
def test_moving_on_the_plane_changes_the_blend_evenly_everywhere(seed: int) -> None:
    rng = random.Random(seed)
    latent = Latent(seed=rng.randrange(NUM_SEEDS), x=rng.uniform(-3, 3), y=rng.uniform(-3, 3))
    here = weights(latent)
    assert abs(sum(here.values()) - 1) < 1e-9
    same = weights(move_latent(latent, 0, 0))  # named from the nearest seed: the same place
    near = weights(move_latent(latent, 1e-4, 1e-4))
    for other, bound in ((same, 1e-9), (near, 4e-4)):
        assert all(abs(here.get(s, 0) - other.get(s, 0)) <= bound for s in {*here, *other})


def test_a_whole_step_is_the_next_seed_and_a_row_is_a_hundred() -> None:
    assert move_latent(Latent(seed=5), 1, 0).seed == 6
    assert move_latent(Latent(seed=5), 0, 1).seed == 105
    assert move_latent(Latent(seed=0), -1, 0).seed == NUM_SEEDS - 1
    assert weights(Latent(seed=7)) == {7: 1.0}


def test_the_matrix_is_rotation_and_scale_then_translation() -> None:
    transform = Transform(translate_x=0.25, translate_y=-0.1, rotate=90, scale=2)
    right = np.array(transform_matrix(transform)) @ [
        1,
        0,
        1,
    ]  # a point to the right of the centre goes up: y points down
    np.testing.assert_allclose(right, [0.25, -2.1, 1], atol=1e-12)
    rounded = transform_matrix(replace(transform, translate_x=0.26, whole_pixels=True), pixels=16)
    assert rounded[0][2] == 4 / 16


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0.25, 0), (-0.5, 2.75), (3.999, -1.001), (1e-9, 0)])
def test_weights_on_the_seed_plane_are_bilinear(x: float, y: float) -> None:
    pairs = bilinear_seeds(1000, x, y)
    weights = [weight for _, weight in pairs]
    assert sum(weights) == pytest.approx(1, abs=1e-12)
    assert all(weight > 0 for weight in weights)
    # The weighted mean of the seeds is the point itself: one column is one seed, one row is 100 seeds.
    assert sum(seed * weight for seed, weight in pairs) == pytest.approx(1000 + x + 100 * y, abs=1e-6)
    assert len(pairs) == (1 if x == int(x) else 2) * (1 if y == int(y) else 2)


def test_the_seed_plane_has_no_edge() -> None:
    assert bilinear_seeds(0, -1, 0) == ((2**32 - 1, 1),)
    assert dict(bilinear_seeds(2**32 - 1, 0.5, 0)) == {2**32 - 1: 0.5, 0: 0.5}
