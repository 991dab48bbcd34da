"""Sliced Wasserstein distance, diversity and the classifier: numbers that must move the way a person sees it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from data.planets.render import render
from metrics.classifier import extract_features, train
from metrics.diversity import diversity_by_class, mean_distance, thumbnails
from metrics.sliced_wasserstein import pyramid, sliced_wasserstein
from ops import filter2d, setup_filter


@pytest.fixture(scope="module")
def planets() -> tuple[Tensor, Tensor]:
    """Pictures uint8 [128,3,32,32] and their classes."""
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


def test_a_flat_picture_has_nothing_but_its_coarsest_level():
    *fine, coarse = pyramid(torch.full((2, 3, 64, 64), 90, dtype=torch.uint8))
    assert [level.shape[-1] for level in fine] == [64, 32]
    assert all(level.abs().max() < 1e-3 for level in fine)
    assert torch.allclose(coarse, torch.tensor(90.0))


def test_sets_that_cannot_be_compared_are_refused_in_a_sentence(planets):
    images, _ = planets
    with pytest.raises(ValueError, match="both must be"):
        sliced_wasserstein(images, images[:9])


def test_diversity_is_the_mean_distance_of_pairs_and_falls_where_pictures_repeat(planets):
    assert mean_distance(torch.tensor([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx(10 / 3)
    images, classes = planets
    varied = diversity_by_class(thumbnails(images), classes)
    alike = diversity_by_class(thumbnails(images[:8].repeat(16, 1, 1, 1)), classes)
    assert all(alike[c] < 0.9 * varied[c] for c in range(4))


def test_the_classifier_learns_to_name_classes_and_says_the_same_every_time():
    draws = torch.Generator().manual_seed(0)
    classes = torch.arange(192) % 3
    images = torch.randint(0, 120, (192, 3, 32, 32), generator=draws)
    images[torch.arange(192), classes] += 90  # red, green or blue noise
    images = images.to(torch.uint8)
    model = train(images[:128], classes[:128], epochs=6)
    features, named = extract_features(model, images[128:])
    assert features.shape == (64, 64)
    assert (named == classes[128:]).float().mean() > 0.9
    assert torch.equal(features, extract_features(train(images[:128], classes[:128], epochs=6), images[128:])[0])
