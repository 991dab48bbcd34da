"""G_ema, the exponential moving average of G's weights, which generates the images of snapshots."""

from __future__ import annotations

import torch

from training.objectives.losses import Generator


def ema_decay(batch: int, ema_kimg: float, rampup: float | None, images_done: int) -> float:
    """Return the decay of one step of `batch` images for a half-life of ema_kimg thousand images.

    With rampup, the half-life is at most `rampup * images_done`. Karras et al. 2020 (ADA), Appendix C.
    """
    half_life = ema_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, images_done * rampup)
    return 0.5 ** (batch / max(half_life, 1e-8))


@torch.no_grad()
def update_ema(average: Generator, G: Generator, decay: float) -> None:
    """Update the average's parameters by (1 - decay) towards G's; buffers (running averages, filters) are copied.

    If the average is on another device, it is computed on G's, which gives the same bits.
    """
    for averaged, current in zip(average.parameters(), G.parameters(), strict=True):
        averaged.copy_(current.lerp(averaged.to(current.device), decay))
    for averaged, current in zip(average.buffers(), G.buffers(), strict=True):
        averaged.copy_(current)
