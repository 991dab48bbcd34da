"""Warmup as a variational autoencoder: G learns to reconstruct the dataset's images before adversarial training starts.

A generator that learns from D alone takes long until its images show anything, and on a small machine that is most of
the training. As the decoder of an autoencoder it sees each image, so shapes, positions, colors and lighting appear
after a few thousand images. D, whose layers were trained as the encoder's, then teaches what an autoencoder does not
learn: sharpness. Kingma and Welling 2014, Eq. 10; Larsen et al. 2016 (VAE/GAN), Section 2. There both losses are used
at once; here one follows the other: the autoencoder alone, D alone while G is frozen, then GAN training, during which
the reconstruction loss fades out.
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

NUM_SCALES = 4  # of `multiscale_l1`
LEARNING_RATE, BETAS = 0.0025, (0.9, 0.99)  # of Adam; --glr and --dlr apply to adversarial training
MAX_LOG_VARIANCE = 5.0  # of a code: more than the prior's 0 is of no use, and exp must not overflow


@dataclass(frozen=True)
class WarmupSchedule:
    """Lengths of the parts of the warmup, which follow each other, in thousands of images."""

    kimg: float = 0.0  # autoencoder
    d_kimg: float = 0.0  # D alone
    fade_kimg: float = 0.0  # GAN training while the weight of the reconstruction loss falls to 0
    kl: float = VAE_KL  # weight of the KL loss relative to `multiscale_l1`
    fading: float = VAE_FADING  # weight of `multiscale_l1` relative to G's loss, when adversarial training starts

    @property
    def encoder_training_end(self) -> int:
        """Number of images after which the encoder is no longer trained."""
        return round(self.kimg * 1000)

    @property
    def adversarial_start(self) -> int:
        """Number of images after which G learns from D."""
        return round((self.kimg + self.d_kimg) * 1000)

    @property
    def encoder_end(self) -> int:
        """Number of images after which the encoder is no longer needed."""
        if self.fade_kimg == 0:
            return self.encoder_training_end
        return round((self.kimg + self.d_kimg + self.fade_kimg) * 1000)

    def kl_weight(self, images_done: int) -> float:
        """Weight of the KL loss: rises from 0 to `kl` over the first half of the autoencoder part.

        Without it, codes would collapse to the prior before they carry information.
        """
        return self.kl * min(images_done / (self.kimg * 500), 1.0)

    def reconstruction_weight(self, images_done: int) -> float:
        """Weight of the reconstruction loss in GAN training: falls linearly from `fading` to 0 once G learns from D."""
        if self.fade_kimg == 0:
            return 0.0
        progress = (images_done - self.adversarial_start) / (self.fade_kimg * 1000)
        return self.fading * (1 - min(max(progress, 0.0), 1.0))


class Encoder(nn.Module):
    """D's layers with another last one: images [N,C,H,W] -> mean and log variance [N, z_dim] of their z."""

    def __init__(self, config: DiscriminatorConfig, z_dim: int) -> None:
        super().__init__()
        self.trunk = Discriminator(replace(config, c_dim=0, freeze_layers=0))
        self.trunk.b4.out = FullyConnected(config.channels(4), 2 * z_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.trunk(images).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, MAX_LOG_VARIANCE)

    @torch.no_grad()
    def copy_to_discriminator(self, D: Discriminator) -> None:
        """Copy the trunk into D: all of D's layers but the last one and the mapping of classes."""
        source, target = self.trunk.state_dict(), D.state_dict()
        for name, tensor in target.items():
            if name in source and not name.startswith("b4.out."):
                tensor.copy_(source[name])


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence [N], in nats, of codes N(mean, exp(log_variance)) [N, z_dim] from N(0, 1).

    Kingma and Welling 2014, Appendix B.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2


def multiscale_l1(images: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute difference [N] of images [N,C,H,W], summed over full resolution and three halvings of it."""
    distance = torch.zeros(len(images), device=images.device)
    for scale in range(NUM_SCALES):
        if scale > 0:
            images, targets = F.avg_pool2d(images, 2), F.avg_pool2d(targets, 2)
        distance = distance + (images - targets).abs().mean(dim=[1, 2, 3])
    return distance
