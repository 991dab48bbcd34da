"""EQ-T and EQ-R agree with published numbers, are high where an image follows exactly, and leave networks alone.

The numbers were made by the reference metric on the networks of tests/data/networks, from recorded latents and draws.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metrics.equivariance import SquaredError, add_rotation, add_translation, equivariance, synthesize
from networks import load_network
from ops.warp import translate

TESTS = Path(__file__).parent.parent
NETWORKS = TESTS / "data" / "networks"


def generator(name: str) -> Any:
    return load_network(NETWORKS / f"{name}.pkl").generator


def some_ws(network, count: int = 2) -> torch.Tensor:
    z = np.random.RandomState(0).randn(count, network.z_dim)
    return network.mapping(torch.from_numpy(z).float(), None)


@pytest.mark.parametrize("name", ["sg3t_64_uncond", "sg3r_32_uncond"])
def test_both_agree_with_the_published_metric(name):
    with np.load(TESTS / "data" / "metrics" / "equivariance.npz", allow_pickle=False) as data:
        z, whole_draws, fraction_draws, angles, expected = (
            data[f"{name}/{key}"].astype(np.float64)
            for key in ("z", "u_translate_int", "u_translate_frac", "u_angle", "psnr_eqt_int_eqt_frac_eqr")
        )
    network = generator(name)
    whole, fraction, rotation = SquaredError(), SquaredError(), SquaredError()
    for batch in range(2):
        ws = network.mapping(torch.from_numpy(z[batch]).float(), None)
        still = synthesize(network, ws)
        add_translation(whole, network, ws, still, *((2 * whole_draws[batch] - 1) * 0.125), whole=True)
        add_translation(fraction, network, ws, still, *((2 * fraction_draws[batch] - 1) * 0.125), whole=False)
        add_rotation(rotation, network, ws, still, (2 * angles[batch] - 1) * math.pi)
    found = [whole.decibels, fraction.decibels, rotation.decibels]
    assert found == pytest.approx(expected, abs=0.05)


def test_what_follows_exactly_has_no_end_of_decibels_and_what_lags_has_few():
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    moved, mask = translate(x, 0.1, -0.06)
    ideal, lagging = SquaredError(), SquaredError()
    ideal.update(moved, moved, mask)
    lagging.update(x, moved, mask)
    assert ideal.decibels == math.inf
    assert lagging.decibels < 20
    assert math.isnan(SquaredError().decibels)


def test_stylegan3_follows_its_input_and_stylegan2_does_not():
    follows, sticks = (
        equivariance(network, some_ws(network)) for network in map(generator, ("sg3t_64_uncond", "sg2_32_uncond"))
    )
    assert follows.whole > 60
    assert follows.whole > sticks.whole + 20
    assert follows.fraction > sticks.fraction + 20


@pytest.mark.parametrize("name", ["sg3r_32_uncond", "sg2_32_uncond"])
def test_measuring_leaves_the_network_as_it_was(name):
    network = generator(name)
    ws = some_ws(network)
    before = synthesize(network, ws)
    equivariance(network, ws)
    assert torch.equal(synthesize(network, ws), before)
