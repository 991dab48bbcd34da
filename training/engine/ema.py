"""G_ema, the slow average of G that pictures are made with."""

from __future__ import annotations

import torch

from training.objectives.losses import Generator


def ema_decay(batch: int, ema_kimg: float, rampup: float | None, images_done: int) -> float:
    """How much of the average is kept at one step of `batch` pictures: half of it over `ema_kimg` thousand.

    With `rampup` never slower than this share of the training so far. Karras et al. 2020 (ADA), Appendix C.
    """
    half_life = ema_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, images_done * rampup)
    return 0.5 ** (batch / max(half_life, 1e-8))


@torch.no_grad()
def update_average(average: Generator, G: Generator, decay: float) -> None:
    """Move the average's weights towards G's; buffers (averages themselves, filters) are copied.

    An average that is kept on another device is worked out on G's, so that its numbers are the same.
    """
    for slow, fast in zip(average.parameters(), G.parameters(), strict=True):
        slow.copy_(fast.lerp(slow.to(fast.device), decay))
    for slow, fast in zip(average.buffers(), G.buffers(), strict=True):
        slow.copy_(fast)
