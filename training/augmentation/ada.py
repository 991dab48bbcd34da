"""How augmentation adapts: p rises while D is too sure of real pictures, and falls while it is not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class AdaController:
    """ADA's controller. Karras et al. 2020 (ADA), Section 3: r_t is the mean sign of D's logits for reals."""

    target: float
    kimg: float = 500  # thousands of pictures in which p can go from 0 to 1
    interval: int = 4  # steps between two adjustments
    sign_sum: float = 0.0  # of D's logits for reals since the last adjustment
    sign_count: float = 0.0

    def update(self, signs: Tensor) -> None:
        """Take D's signs [N, 1] for augmented reals."""
        self.sign_sum += float(signs.sum(dtype=torch.float64))
        self.sign_count += signs.numel()

    def next_p(self, p: float, batch: int) -> float:
        """p after `interval` steps of `batch` pictures; forgets what was observed."""
        if self.sign_count == 0:
            return p
        mean = self.sign_sum / self.sign_count
        self.sign_sum = self.sign_count = 0.0
        return adjust_p(p, mean, self.target, batch, self.interval, self.kimg)


def adjust_p(p: float, sign_mean: float, target: float, batch: int, interval: int, kimg: float) -> float:
    """One adjustment; p never falls below 0."""
    direction = (sign_mean > target) - (sign_mean < target)
    return max(p + direction * (batch * interval) / (kimg * 1000), 0.0)
