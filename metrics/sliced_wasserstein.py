"""Sliced Wasserstein distance (SWD) of two sets of images, for each level of a Laplacian pyramid.

Karras et al. 2018 (progressive growing), Section 5: patches of 7x7 pixels from each level, each color channel
normalized to mean 0 and standard deviation 1 within its set, are compared in random projections.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ops import downsample2d, setup_filter, upsample2d

PATCH = 7  # pixels
MIN_SIZE = 16  # the coarsest level of the pyramid, in pixels
BINOMIAL = [1.0, 4.0, 6.0, 4.0, 1.0]  # Burt and Adelson's low-pass filter


def sliced_wasserstein(
    first: Tensor, second: Tensor, *, patches: int = 32, directions: int = 256, seed: int = 0
) -> dict[int, float]:
    """Return the distance for each level of the pyramid, by its size in pixels: {64: ..., 32: ..., 16: ...}.

    first, second [N, C, H, W] uint8, square, of one shape. `patches` patches of every image are taken, at the same
    random positions in both sets. The distance is the mean over random directions of the mean absolute difference of
    the sorted projections. Two samples of one distribution have a distance above 0, which falls with their size: only
    compare distances of equally large sets. Raises ValueError for other shapes.
    """
    if first.shape != second.shape or first.ndim != 4 or first.shape[2] != first.shape[3]:
        raise ValueError(
            f"The sets have shapes {list(first.shape)} and {list(second.shape)}, but both must be [N, C, H, H], alike."
        )
    generator = torch.Generator().manual_seed(seed)
    distances = {}
    for first_level, second_level in zip(pyramid(first), pyramid(second), strict=True):
        size = first_level.shape[-1]
        corners = torch.randint(size - PATCH + 1, (2, len(first_level), patches), generator=generator)
        projections = torch.randn(first_level.shape[1] * PATCH * PATCH, directions, generator=generator)
        projections /= projections.norm(dim=0)
        distances[size] = _distance(descriptors(first_level, corners), descriptors(second_level, corners), projections)
    return distances


def pyramid(images: Tensor) -> list[Tensor]:
    """Build the Laplacian pyramid float32 of images uint8 [N,C,H,H], finest level first; the last is the low-pass."""
    taps = setup_filter(BINOMIAL)
    levels = []
    lowpass = images.to(torch.float32)
    while lowpass.shape[-1] >= 2 * MIN_SIZE and lowpass.shape[-1] % 2 == 0:
        small = downsample2d(_reflect_pad(lowpass), taps, padding=-2)
        levels.append(lowpass - upsample2d(_reflect_pad(small), taps, padding=-4))
        lowpass = small
    return [*levels, lowpass]


def descriptors(level: Tensor, corners: Tensor) -> Tensor:
    """Extract patches [N * K, C * 49] of images [N,C,S,S] at corners [2,N,K] (row, column), normalized by channel."""
    count, channels = level.shape[:2]
    offsets = torch.arange(PATCH)
    rows = corners[0][..., None, None] + offsets[:, None]  # [N, K, 7, 1]
    columns = corners[1][..., None, None] + offsets  # [N, K, 1, 7]
    which = torch.arange(count)[:, None, None, None]
    patches = level.permute(0, 2, 3, 1)[which, rows, columns]  # [N, K, 7, 7, C]
    patches = patches.reshape(-1, PATCH * PATCH, channels)
    patches = patches - patches.mean((0, 1))
    patches = patches / patches.std((0, 1)).clamp_min(1e-8)
    return patches.flatten(1)


def _distance(first: Tensor, second: Tensor, projections: Tensor) -> float:
    """Mean distance over projections [D, K]; 32 at a time to bound memory."""
    parts = [
        ((chunk.T @ first.T).sort(dim=1).values - (chunk.T @ second.T).sort(dim=1).values).abs().mean(1)
        for chunk in projections.split(32, 1)
    ]
    return float(torch.cat(parts).mean())


def _reflect_pad(images: Tensor) -> Tensor:
    """Pad two reflected pixels on each side, so that the 5-tap filter needs no samples outside."""
    return F.pad(images, (2, 2, 2, 2), mode="reflect")
