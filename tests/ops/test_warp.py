"""Warps agree with the published ones, valid pixels are correct, and a warp and its inverse cancel."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from naive_resampling import relative_error

from ops import warp

GOLDEN = np.load(Path(__file__).parent.parent / "data" / "ops" / "resamplers.npz")
X = torch.from_numpy(GOLDEN["eq/x"])
TOLERANCE = 1e-5


def assert_agrees(result, case: str) -> None:
    warped, mask = result
    assert relative_error(warped, torch.from_numpy(GOLDEN[f"{case}y"])) < TOLERANCE
    assert torch.equal(mask, torch.from_numpy(GOLDEN[f"{case}mask"]).bool())


@pytest.mark.parametrize("i", range(5))
def test_shifts_are_the_published_ones(i):
    tx, ty = GOLDEN["eq/translations"][i]
    assert_agrees(warp.translate_integer(X, tx, ty), f"eq/int/{i}/")
    assert_agrees(warp.translate(X, tx, ty), f"eq/frac/{i}/")


@pytest.mark.parametrize("i", range(4))
def test_rotations_are_the_published_ones(i):
    angle = GOLDEN["eq/angles"][i]
    assert_agrees(warp.rotate(X, angle, as_published=True), f"eq/rot/{i}/")
    assert_agrees(warp.pseudo_rotate(X, angle), f"eq/pseudo/{i}/")
    assert np.abs(warp.rotation_matrix(angle) - GOLDEN[f"eq/rotation_matrix/{i}"]).max() < 1e-6


def test_a_general_affine_warp_is_the_published_one():
    assert_agrees(warp.affine(X, GOLDEN["eq/affine_mat"], as_published=True), "eq/affine_")
    assert_agrees(warp.affine(X, GOLDEN["eq/affine_mat"]), "eq/affine_")


def test_filters_are_the_published_ones():
    filters = [(GOLDEN["eq/affine_mat"], 4, "affine_filter")]
    filters += [(warp.rotation_matrix(GOLDEN["eq/angles"][i]), 4, f"filter_rot/{i}") for i in range(2)]
    filters += [(warp.rotation_matrix(-GOLDEN["eq/angles"][i]), 1, f"filter_pseudo/{i}") for i in range(4)]
    for matrix, up, name in filters:
        actual = torch.tensor(warp.bandlimit_filter(matrix[:2, :2], up))
        assert relative_error(actual, torch.from_numpy(GOLDEN[f"eq/{name}"])) < TOLERANCE


def smooth(size: int = 48) -> torch.Tensor:
    """Return an image without detail finer than 5 pixels, which no warp attenuates."""
    y, x = np.mgrid[0:size, 0:size]
    waves = [np.sin(0.31 * x + 0.17 * y), np.cos(0.4 * y - 0.6 * x) + 0.3, np.sin(0.9 * x) * np.cos(0.7 * y)]
    return torch.from_numpy(np.stack(waves)[None]).float()


def test_the_identity_changes_nothing():
    for warped, mask in (warp.affine(X, np.eye(3)), warp.translate(X, 0, 0), warp.translate_integer(X, 0, 0)):
        assert ((warped - X) * mask).abs().max() < 2e-5


def test_an_integer_shift_is_a_shift_and_positive_angles_are_counter_clockwise():
    warped, mask = warp.translate_integer(X, 3 / 32, -2 / 32)
    assert torch.equal(warped[:, :, :30, 3:], X[:, :, 2:, :29])
    assert mask[:30, 3:].all()
    assert not mask[30:].any()
    turned, mask = warp.rotate(X, math.pi / 2)  # a point on the right goes to the top
    assert ((turned - X.rot90(1, [2, 3])) * mask).abs().max() < 2e-5


@pytest.mark.parametrize("angle", [0.3, -2.0])
def test_a_warp_and_its_inverse_restore_a_smooth_image(angle):
    image = smooth()
    there = warp.rotation_matrix(angle)
    there[:2, 2] = 0.05, -0.03
    warped, mask = warp.affine(image, there)
    back, valid = warp.affine(warped, np.linalg.inv(there))
    carried, _ = warp.affine(mask[None, None].float(), np.linalg.inv(there))
    trusted = valid.clone()
    trusted[:14] = trusted[-14:] = False
    trusted[:, :14] = trusted[:, -14:] = False
    assert trusted.any()
    assert carried.shape[-2:] == trusted.shape
    assert ((back - image) * trusted).abs().max() < 0.02  # the windowed filter's own error
    shifted, _ = warp.translate(warp.translate(image, 0.013, 0.2 / 48)[0], -0.013, -0.2 / 48)
    assert ((shifted - image) * trusted).abs().max() < 0.03


def test_minification_widens_the_filter_and_preserves_the_mean():
    flat = torch.ones(1, 1, 64, 64)
    matrix = np.diag([0.4, 0.4, 1.0])
    assert len(warp.bandlimit_filter(matrix[:2, :2], 4)) > len(warp.bandlimit_filter(np.eye(2), 4))
    warped, mask = warp.affine(flat, matrix)
    assert mask.any()
    assert (warped[0, 0][mask] - 1).abs().max() < 1e-4


def test_images_need_not_be_square_or_float32():
    wide = torch.randn(2, 3, 20, 40)
    for dtype in (torch.float64, torch.float16):
        warped, mask = warp.affine(wide.to(dtype), warp.rotation_matrix(0.2))
        assert (warped.dtype, warped.shape, mask.shape) == (dtype, wide.shape, (20, 40))


def smooth_wide(width: int, height: int) -> torch.Tensor:
    y, x = np.mgrid[0:height, 0:width]
    return torch.from_numpy(np.stack([np.sin(0.31 * x + 0.17 * y), np.cos(0.4 * y - 0.5 * x)])[None]).float()


@pytest.mark.parametrize("width, height", [(64, 32), (32, 64), (48, 40)])
@pytest.mark.parametrize("tx, ty", [(0.125, 0.0), (0.0, 0.25), (-0.125, 0.125)])
def test_a_shift_of_an_image_that_is_not_square_is_in_widths_and_heights(width, height, tx, ty):
    """An affine warp that only shifts, by whole pixels, is the same shift."""
    x = smooth_wide(width, height)
    matrix = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    moved, mask = warp.affine(x, matrix)
    by = [round(ty * height), round(tx * width)]
    expected = torch.roll(x, by, dims=[2, 3])
    assert mask.sum() > 0.1 * mask.numel()
    assert ((moved - expected).abs() * mask).max() < 2e-2
    for shift in (warp.translate, warp.translate_integer):
        shifted, valid = shift(x, tx, ty)
        assert ((shifted - expected).abs() * valid).max() < 1e-4


@pytest.mark.parametrize("width, height", [(64, 32), (32, 64)])
def test_a_quarter_turn_of_an_image_that_is_not_square_turns_its_middle(width, height):
    """About the center, with pixels as wide as they are high: the square in the middle is that of the turned image."""
    x = smooth_wide(width, height)
    turned, mask = warp.rotate(x, math.pi / 2)
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    middle = (..., slice(top, top + side), slice(left, left + side))
    expected = torch.rot90(x[middle], 1, dims=[2, 3])
    assert mask[middle].sum() > 0.1 * side**2
    assert ((turned[middle] - expected).abs() * mask[middle]).max() < 3e-2
