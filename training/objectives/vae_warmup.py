"""A start as a variational autoencoder, before D judges: G learns what the pictures are about from the pictures.

With D alone to learn from, a generator needs a long time until it makes anything, and on a small machine most of the
time there is. As the decoder of an autoencoder it is shown each picture, so that shapes, places, colours and light are
there after a few thousand; D, whose layers the encoder has trained, then teaches what an autoencoder never learns:
sharpness. Kingma and Welling 2014, Eq. 10; Larsen et al. 2016 (VAE/GAN), Section 2, whose two parts come in turn here:
the autoencoder alone, D alone while G stands still, then both, with less and less of the autoencoder's loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.architectures.discriminator import Discriminator
from networks.architectures.layers import FullyConnected
from networks.config import DiscriminatorConfig
from training.presets import VAE_FADING, VAE_KL

SCALES = 4  # of `picture_distance`
LEARNING_RATE, MOMENTUM = 0.0025, (0.9, 0.99)  # of Adam; --glr and --dlr are for when D judges
WIDEST = 5.0  # log variance of a code at most: more than the prior's 0 is of no use, and exp must not overflow


@dataclass(frozen=True)
class Start:
    """How a training begins: each part in thousands of pictures, one after the other."""

    kimg: float = 0.0  # as an autoencoder
    d_kimg: float = 0.0  # D alone
    fade_kimg: float = 0.0  # both, while the weight of the autoencoder's loss falls to nothing
    kl: float = VAE_KL  # weight of the nats against `picture_distance`
    fading: float = VAE_FADING  # weight of `picture_distance` against G's loss, when D begins to judge

    @property
    def encoder_learns_until(self) -> int:
        """Pictures."""
        return round(self.kimg * 1000)

    @property
    def g_is_judged_from(self) -> int:
        """Pictures after which G learns from D."""
        return round((self.kimg + self.d_kimg) * 1000)

    @property
    def encoder_serves_until(self) -> int:
        """Pictures."""
        if self.fade_kimg == 0:
            return self.encoder_learns_until
        return round((self.kimg + self.d_kimg + self.fade_kimg) * 1000)

    def kl_weight(self, images_done: int) -> float:
        """Of the nats: from nothing up in the first half of the autoencoder, so that codes mean something first."""
        return self.kl * min(images_done / (self.kimg * 500), 1.0)

    def fading_weight(self, images_done: int) -> float:
        """Of the distance: the whole until D judges, and from where D judges linearly down to nothing."""
        if self.fade_kimg == 0:
            return 0.0
        gone = (images_done - self.g_is_judged_from) / (self.fade_kimg * 1000)
        return self.fading * (1 - min(max(gone, 0.0), 1.0))


class Encoder(nn.Module):
    """D's layers with another last one: pictures [N,C,H,W] -> mean and log variance [N, z_dim] of their z."""

    def __init__(self, config: DiscriminatorConfig, z_dim: int) -> None:
        super().__init__()
        self.trunk = Discriminator(replace(config, c_dim=0, freeze_layers=0))
        self.trunk.b4.out = FullyConnected(config.channels(4), 2 * z_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.trunk(images).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, WIDEST)

    @torch.no_grad()
    def give_to(self, D: Discriminator) -> None:
        """Copy all that D has of these layers, which is all but its last one and its classes."""
        own, theirs = self.trunk.state_dict(), D.state_dict()
        for name, tensor in theirs.items():
            if name in own and not name.startswith("b4.out."):
                tensor.copy_(own[name])


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Nats [N] by which codes [N, z_dim] differ from the standard normal z. Kingma and Welling 2014, Appendix B."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2


def picture_distance(made: Tensor, wanted: Tensor) -> Tensor:
    """The mean absolute difference [N] of pictures [N,C,H,W], summed over the full size and three halvings of it."""
    total = torch.zeros(len(made), device=made.device)
    for scale in range(SCALES):
        if scale > 0:
            made, wanted = F.avg_pool2d(made, 2), F.avg_pool2d(wanted, 2)
        total = total + (made - wanted).abs().mean(dim=[1, 2, 3])
    return total
