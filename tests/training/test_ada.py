"""ADA's p follows the signs of D's logits for reals."""

from __future__ import annotations

import pytest
import torch

from training.augmentation.ada import AdaController


def test_p_follows_the_signs_that_were_seen() -> None:
    ada = AdaController(target=0.6, kimg=500)
    assert ada.next_p(0.3, 32) == 0.3  # nothing was seen
    ada.update(torch.ones(8, 1))
    assert ada.next_p(0.3, 32) == pytest.approx(0.3 + 128 / 500_000)
    ada.update(-torch.ones(8, 1))
    assert ada.next_p(0.3, 32) == pytest.approx(0.3 - 128 / 500_000)
