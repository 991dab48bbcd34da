"""ADA's control of the augmentation probability p, which rises while D overfits and falls while it does not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class AdaController:
    """Adjusts p so that r_t, the mean sign of D's logits for reals, approaches `target`. Karras et al. 2020, Section 3.

    The object holds the sums of the present interval; p itself is passed in and returned.
    """

    target: float
    kimg: float = 500  # thousands of images in which p can rise from 0 to 1
    interval: int = 4  # steps between two adjustments
    sign_sum: float = 0.0  # of D's logits for reals since the last adjustment
    sign_count: float = 0.0

    def update(self, signs: Tensor) -> None:
        """Accumulate the signs [N, 1] of D's logits for augmented reals."""
        self.sign_sum += float(signs.sum(dtype=torch.float64))
        self.sign_count += signs.numel()

    def next_p(self, p: float, batch: int) -> float:
        """Return p for the next `interval` steps of `batch` images, and reset the sums."""
        if self.sign_count == 0:
            return p
        mean = self.sign_sum / self.sign_count
        self.sign_sum = self.sign_count = 0.0
        return adjust_p(p, mean, self.target, batch, self.interval, self.kimg)


def adjust_p(p: float, sign_mean: float, target: float, batch: int, interval: int, kimg: float) -> float:
    """Move p by one interval's amount towards the target, but not below 0."""
    direction = (sign_mean > target) - (sign_mean < target)
    return max(p + direction * (batch * interval) / (kimg * 1000), 0.0)
