"""How near two sets of pictures are, scale by scale: the sliced Wasserstein distance of small patches.

Karras et al. 2018 (progressive growing), section 5: patches of 7x7 pixels from each level of a Laplacian pyramid, each
colour channel brought to mean 0 and deviation 1 within its own set, compared along random directions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ops import downsample2d, setup_filter, upsample2d

PATCH = 7  # pixels
SMALLEST = 16  # the coarsest level of the pyramid, in pixels
BINOMIAL = [1.0, 4.0, 6.0, 4.0, 1.0]  # Burt and Adelson's low-pass filter


def sliced_wasserstein(
    first: Tensor, second: Tensor, *, patches: int = 32, directions: int = 256, seed: int = 0
) -> dict[int, float]:
    """The distance for each level of the pyramid, by its pixels: {64: ..., 32: ..., 16: ...}.

    first, second [N, C, H, W] uint8, square, of one shape. Of every picture so many patches are taken, at the
    same random places in both sets; the distance is the mean over random directions of the mean difference between
    the sorted projections. A set has distance 0 to itself. Two samples of the same kind have one above 0, which
    falls with more pictures: compare only distances between equal counts. Raises ValueError for other shapes.
    """
    if first.shape != second.shape or first.ndim != 4 or first.shape[2] != first.shape[3]:
        raise ValueError(
            f"The sets have shapes {list(first.shape)} and {list(second.shape)}, but both must be [N, C, H, H], alike."
        )
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for one, other in zip(pyramid(first), pyramid(second), strict=True):
        size = one.shape[-1]
        corners = torch.randint(size - PATCH + 1, (2, len(one), patches), generator=draw)
        along = torch.randn(one.shape[1] * PATCH * PATCH, directions, generator=draw)
        along /= along.norm(dim=0)
        found[size] = _distance(descriptors(one, corners), descriptors(other, corners), along)
    return found


def pyramid(images: Tensor) -> list[Tensor]:
    """uint8 [N,C,H,H] -> the Laplacian pyramid float32, finest first; the last level is what is left at 16 pixels."""
    taps = setup_filter(BINOMIAL)
    levels = []
    rest = images.to(torch.float32)
    while rest.shape[-1] >= 2 * SMALLEST and rest.shape[-1] % 2 == 0:
        small = downsample2d(_mirrored(rest), taps, padding=-2)
        levels.append(rest - upsample2d(_mirrored(small), taps, padding=-4))
        rest = small
    return [*levels, rest]


def descriptors(level: Tensor, corners: Tensor) -> Tensor:
    """Patches [N * K, C * 49] of pictures [N,C,S,S] at corners [2,N,K] (row, column), normalised by channel."""
    count, channels = level.shape[:2]
    steps = torch.arange(PATCH)
    rows = corners[0][..., None, None] + steps[:, None]  # [N, K, 7, 1]
    columns = corners[1][..., None, None] + steps  # [N, K, 1, 7]
    which = torch.arange(count)[:, None, None, None]
    found = level.permute(0, 2, 3, 1)[which, rows, columns]  # [N, K, 7, 7, C]
    found = found.reshape(-1, PATCH * PATCH, channels)
    found = found - found.mean((0, 1))
    found = found / found.std((0, 1)).clamp_min(1e-8)
    return found.flatten(1)


def _distance(one: Tensor, other: Tensor, along: Tensor) -> float:
    """The mean over directions [D, K]; a few at a time, as the projections of many patches take much room."""
    parts = [
        ((some.T @ one.T).sort(dim=1).values - (some.T @ other.T).sort(dim=1).values).abs().mean(1)
        for some in along.split(32, 1)
    ]
    return float(torch.cat(parts).mean())


def _mirrored(images: Tensor) -> Tensor:
    """With two more pixels on every side, so that the filter needs nothing from outside the picture."""
    return F.pad(images, (2, 2, 2, 2), mode="reflect")
