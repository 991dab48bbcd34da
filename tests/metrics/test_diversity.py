"""Diversity is the mean distance of pairs of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from data.planets.render import render
from metrics.diversity import diversity_by_class, mean_distance, thumbnails


@pytest.fixture(scope="module")
def planets() -> tuple[Tensor, Tensor]:
    """Images uint8 [128,3,32,32] and their classes."""
    drawn = [render(np.random.default_rng(seed), seed % 4, 32) for seed in range(128)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous(), torch.arange(128) % 4


def test_diversity_is_the_mean_distance_of_pairs_and_falls_where_images_repeat(planets):
    assert mean_distance(torch.tensor([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx(10 / 3)
    images, classes = planets
    varied = diversity_by_class(thumbnails(images), classes)
    alike = diversity_by_class(thumbnails(images[:8].repeat(16, 1, 1, 1)), classes)
    assert all(alike[c] < 0.9 * varied[c] for c in range(4))
