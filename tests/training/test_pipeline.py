"""Augmentation agrees with the published pipeline's numbers (golden/augment), and R1 can pass through it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from recorded import DATA, tensor

from training.augmentation.pipeline import (
    PIPELINES,
    Augmentation,
    AugmentConfig,
    RngParamSource,
    augment,
    config_for,
    geometry_matrix,
    reflect_pad,
    sampling_theta,
)
from training.engine.keyed_rng import KeyedRng

NUMBERS = np.load(DATA / "augment" / "augment.npz")
CASES = json.loads(str(NUMBERS["cases"]))


class Percentile:
    """Every parameter at the same place of its distribution, as the reference's debug mode has it.

    Normal ones are std * erfinv(2p - 1), without the square root of two; the turn after the uneven scaling is zero.
    """

    def __init__(self, percentile: float | None, count: int) -> None:
        self.percentile, self.count = percentile, count

    def uniform(self, name: str, number: int = 1) -> np.ndarray:
        return np.full([self.count, number], 0.5 if name == "rotate after" else self.percentile or 0)

    def normal(self, name: str, number: int = 1) -> np.ndarray:
        place = self.percentile or 0.5
        quantile = torch.tensor(place if name == "noise size" else 2 * place - 1, dtype=torch.float64).erfinv()
        return np.full([self.count, number], float(quantile))

    def bernoulli(self, name: str, probability: float) -> np.ndarray:
        return np.full(self.count, float(self.percentile is not None))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']} {case['name']}")
def test_an_augmentation_agrees_with_the_reference(case) -> None:
    """All 57 cases. The stored images have half precision, their middles single; measured 1.3e-6."""
    key, images = case["id"], tensor(NUMBERS[case["input"]])
    height, width = images.shape[2:]
    config, params = replace(AugmentConfig(), **case["kwargs"]), Percentile(case["debug_percentile"], len(images))
    if "reflect_pads_x0x1y0y1" in case and f"{key}/affine_grid_theta" in NUMBERS:
        theta, sides = sampling_theta(geometry_matrix(config, 1, params, height, width), height, width)
        # A half turn asks for 6 pixels exactly; float32 made the reference take 7. The image is the same.
        if key != "004":
            assert list(sides) == case["reflect_pads_x0x1y0y1"][0]
            np.testing.assert_allclose(theta[0], NUMBERS[f"{key}/affine_grid_theta"], atol=1e-6)
    noise = tensor(NUMBERS[f"{key}/noise_draw"]).repeat(2, 1, 1, 1) if f"{key}/noise_draw" in NUMBERS else None
    result = augment(images, config, 1, params, lambda: noise)  # type: ignore[arg-type,return-value]
    assert list(result.shape) == case["out_shape"]
    expected = NUMBERS[f"{key}/y"].astype(np.float32)
    np.testing.assert_allclose(result[: len(expected)], expected, rtol=1e-3, atol=1e-4)
    middle = result[0, :, height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4]
    np.testing.assert_allclose(middle, NUMBERS[f"{key}/y_crop"], atol=1e-5)
    if noise is None:
        np.testing.assert_allclose(result.double().mean(dim=[1, 2, 3]), NUMBERS[f"{key}/y_mean"], atol=1e-5)
        np.testing.assert_allclose(
            result.double().std(dim=[1, 2, 3], unbiased=False), NUMBERS[f"{key}/y_std"], atol=1e-5
        )


def test_the_penalty_on_reals_passes_through_the_whole_pipeline() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    augmentation = Augmentation(config_for("bgcfnc"), p=0.8)
    rng = KeyedRng(0, "Dreg", range(2))

    def squared(x: torch.Tensor) -> torch.Tensor:
        return augmentation(x, rng).square().mean(dim=(1, 2, 3))

    assert torch.autograd.gradcheck(squared, images, fast_mode=True, atol=1e-4, rtol=1e-2)
    assert torch.autograd.gradgradcheck(squared, images, fast_mode=True, atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_augments_an_image_alike_in_any_batch(name: str) -> None:
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    augmentation = Augmentation(config_for(name), p=0.7)
    whole = augmentation(images, KeyedRng(3, "Gmain", range(8)), "fake")
    part = augmentation(images[2:], KeyedRng(3, "Gmain", range(2, 8)), "fake")
    torch.testing.assert_close(whole[2:], part, rtol=1e-4, atol=1e-4)  # the margins belong to a batch
    assert not torch.allclose(whole, images, atol=0.1)
    reals = augmentation(images, KeyedRng(3, "Gmain", range(8)), "real")
    assert not torch.allclose(whole, reals, atol=0.1)


def test_things_happen_as_often_as_p_says() -> None:
    """Flips of 2000 images at p 0.4: 0.2 of them, to five standard deviations."""
    images = torch.arange(4.0).expand(2000, 1, 4, 4)
    flipped = Augmentation(replace(AugmentConfig(), lumaflip=1), p=0.4)(images, KeyedRng(0, "x", range(2000)))
    share = float((flipped[:, 0, 0, 3] < 0).float().mean())
    assert abs(share - 0.2) < 5 * (0.2 * 0.8 / 2000) ** 0.5


def test_small_images_are_mirrored_as_often_as_it_takes() -> None:
    row = reflect_pad(torch.arange(3.0).expand(1, 1, 3, 3), 5)[0, 0]
    assert row.shape == (13, 13)
    assert row[0].tolist() == [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]


def test_a_pipeline_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="bgcfnc"):
        config_for("bgcx")


class Counting:
    """Parameters that never happen, and the probability that each was asked for."""

    def __init__(self) -> None:
        self.count, self.probabilities = 1, {}

    def uniform(self, name: str, number: int = 1) -> np.ndarray:
        return np.zeros([1, number])

    normal = uniform

    def bernoulli(self, name: str, probability: float) -> np.ndarray:
        self.probabilities[name] = probability
        return np.zeros(1)


@pytest.mark.parametrize("strength, p", [(1, 0.36), (1, 1), (0.5, 0.5), (1, 0), (2, 0.8)])
def test_either_rotation_happens_with_the_published_probability(strength: float, p: float) -> None:
    """At least one of both turns happens with strength * p (Karras et al. 2020, Appendix B)."""
    counting = Counting()
    geometry_matrix(replace(AugmentConfig(), rotate=strength), p, counting, 16, 16)
    before, after = counting.probabilities["rotate"], counting.probabilities["rotate after"]
    assert before == after
    assert 1 - (1 - before) * (1 - after) == pytest.approx(min(strength * p, 1))


@pytest.mark.parametrize("p", [0.2, 0.6])
def test_as_many_images_are_turned_as_asked_for(p: float) -> None:
    rng = KeyedRng(5, "turns", list(range(4000)), torch.device("cpu"))
    total = geometry_matrix(replace(AugmentConfig(), rotate=1), p, RngParamSource(rng, "", 4000), 16, 16)
    turned = (np.abs(total - np.eye(3)).max(axis=(1, 2)) > 1e-9).mean()
    assert turned == pytest.approx(p, abs=0.03)
