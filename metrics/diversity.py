"""How varied pictures are: the mean distance between two of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_distance(features: Tensor) -> float:
    """The mean Euclidean distance between two different rows of features [N, D], N at least 2."""
    return float(torch.pdist(features.to(torch.float32)).mean())


def thumbnails(images: Tensor, size: int = 16) -> Tensor:
    """Pictures uint8 [N,C,H,W], averaged down to `size` pixels, as rows [N, C * size * size] in [0, 1]."""
    return F.adaptive_avg_pool2d(images.to(torch.float32) / 255, size).flatten(1)


def diversity_by_class(features: Tensor, classes: Tensor) -> dict[int, float]:
    """`mean_distance` within each class; classes [N] are whole numbers."""
    return {int(c): mean_distance(features[classes == c]) for c in classes.unique()}
