"""Images are sampled as torch samples them, with gradients of any order and, if asked for, in a fixed order."""

from __future__ import annotations

import torch

from training.augmentation.grid_sample import sample, scatter_deterministic


def test_images_are_sampled_as_torch_samples_them() -> None:
    images = torch.randn(2, 3, 9, 7)
    theta = torch.eye(2, 3) + 0.3 * torch.randn(2, 2, 3)
    grid = torch.nn.functional.affine_grid(theta, [2, 3, 6, 8], align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    assert torch.equal(sample(images, theta, 6, 8), expected)


def test_sampling_can_be_differentiated_any_number_of_times() -> None:
    """Against finite differences in double precision; torch's own grid_sample has no second derivative."""
    torch.manual_seed(0)
    images = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    theta = torch.eye(2, 3, dtype=torch.float64) + 0.3 * torch.randn(2, 2, 3, dtype=torch.float64)

    def squared(x: torch.Tensor) -> torch.Tensor:
        return sample(x, theta, 3, 6).square()

    assert torch.autograd.gradcheck(squared, images)
    assert torch.autograd.gradgradcheck(squared, images)


def test_scattering_in_a_fixed_order_is_the_same_adjoint() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    theta = torch.eye(2, 3, dtype=torch.float64) + 0.4 * torch.randn(2, 2, 3, dtype=torch.float64)
    grid = torch.nn.functional.affine_grid(theta, [2, 3, 7, 8], align_corners=False)
    values = torch.randn(2, 3, 7, 8, dtype=torch.float64)
    (expected,) = torch.autograd.grad(sample(images, theta, 7, 8), images, values)
    torch.testing.assert_close(scatter_deterministic(values, grid, images.shape), expected)
