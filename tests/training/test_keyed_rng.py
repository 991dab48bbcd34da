"""Random numbers belong to an image of the run, not to the batch or process that draws them."""

from __future__ import annotations

import torch

from training.engine.keyed_rng import KeyedRng


def test_random_numbers_belong_to_an_image_not_to_a_batch() -> None:
    whole = KeyedRng(1, "Dmain", range(6))
    part = KeyedRng(1, "Dmain", range(4, 6))
    assert torch.equal(whole.normal("z", 7)[4:], part.normal("z", 7))
    assert (whole.uniform("a", 3)[4:] == part.uniform("a", 3)).all()
    assert not torch.equal(whole.normal("z", 7), KeyedRng(1, "Dreg", range(6)).normal("z", 7))
    assert not torch.equal(whole.normal("z", 7), KeyedRng(2, "Dmain", range(6)).normal("z", 7))
