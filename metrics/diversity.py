"""Diversity of images: the mean distance between two of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_distance(features: Tensor) -> float:
    """Mean Euclidean distance between two different rows of features [N, D], N >= 2."""
    return float(torch.pdist(features.to(torch.float32)).mean())


def thumbnails(images: Tensor, size: int = 16) -> Tensor:
    """Average-pool images uint8 [N,C,H,W] to `size` pixels and flatten them: [N, C * size * size] in [0, 1]."""
    return F.adaptive_avg_pool2d(images.to(torch.float32) / 255, size).flatten(1)


def diversity_by_class(features: Tensor, classes: Tensor) -> dict[int, float]:
    """Return {class: `mean_distance` within it} for features [N, D] and class numbers [N]."""
    return {int(c): mean_distance(features[classes == c]) for c in classes.unique()}
