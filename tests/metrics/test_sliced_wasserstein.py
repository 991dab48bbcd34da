"""The sliced Wasserstein distance moves the way a person sees images differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from data.planets.render import render
from metrics.sliced_wasserstein import pyramid, sliced_wasserstein
from ops import filter2d, setup_filter


@pytest.fixture(scope="module")
def planets() -> tuple[Tensor, Tensor]:
    """Images uint8 [128,3,32,32] and their classes."""
    drawn = [render(np.random.default_rng(seed), seed % 4, 32) for seed in range(128)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous(), torch.arange(128) % 4


def blurred(images: Tensor, times: int) -> Tensor:
    taps = setup_filter([1.0, 2.0, 1.0])
    x = images.float()
    for _ in range(times):
        x = filter2d(x, taps)
    return x.round().to(torch.uint8)


def test_a_set_has_no_distance_to_itself(planets):
    images, _ = planets
    assert set(sliced_wasserstein(images, images)) == {32, 16}
    assert max(sliced_wasserstein(images, images).values()) == 0


def test_two_halves_are_near_and_the_distance_grows_with_blur(planets):
    images, _ = planets
    first, second = images[:64], images[64:]
    halves = sliced_wasserstein(first, second)[32]
    distances = [sliced_wasserstein(first, blurred(second, times))[32] for times in (1, 2, 4)]
    assert halves < distances[0] < distances[1] < distances[2]
    assert halves == sliced_wasserstein(first, second)[32], "the same every time"


def test_coarse_changes_are_seen_on_the_coarse_level(planets):
    images, _ = planets
    shaken = images.reshape(-1, 3, 2, 16, 2, 16).flip(2, 4).reshape(images.shape)  # quarters change places
    distance = sliced_wasserstein(images, shaken)
    assert distance[16] > distance[32]


def test_a_flat_image_has_nothing_but_its_coarsest_level():
    *fine, coarse = pyramid(torch.full((2, 3, 64, 64), 90, dtype=torch.uint8))
    assert [level.shape[-1] for level in fine] == [64, 32]
    assert all(level.abs().max() < 1e-3 for level in fine)
    assert torch.allclose(coarse, torch.tensor(90.0))


def test_sets_that_cannot_be_compared_are_refused_in_a_sentence(planets):
    images, _ = planets
    with pytest.raises(ValueError, match="both must be"):
        sliced_wasserstein(images, images[:9])
