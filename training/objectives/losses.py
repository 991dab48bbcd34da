"""Training losses of G and D: logistic loss, R1, path length, equivariance and the VAE warmup's, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from networks.architectures import stylegan2, stylegan3
from networks.architectures.discriminator import Discriminator
from ops import filter2d
from training.engine.gradient_checkpointing import run_block, synthesize
from training.engine.keyed_rng import Rng
from training.objectives.equivariance import equivariance_error, sample_motion
from training.objectives.vae_warmup import Encoder, WarmupSchedule, kl_to_standard_normal, multiscale_l1

Generator = stylegan2.Generator | stylegan3.Generator
Augment = Callable[[Tensor, Rng, str], Tensor]
Report = Callable[[str, Tensor], None]  # receives the name of a statistic and its values, one per image

PHASES = ("Gmain", "Greg", "Gboth", "Dmain", "Dreg", "Dboth")


@dataclass(frozen=True)
class LossSettings:
    """Weights and schedules of the losses."""

    r1_gamma: float = 10.0
    style_mixing_prob: float = 0.0
    pl_weight: float = 0.0
    pl_batch_shrink: int = 2  # path length is computed on 1/pl_batch_shrink of the batch
    pl_decay: float = 0.01
    blur_init_sigma: float = 0.0  # pixels
    blur_fade_kimg: float = 0.0
    noise_mode: str = "random"  # of StyleGAN2's noise inputs
    equivariance_weight: float = 0.0  # of our own regularizer, StyleGAN3 only
    warmup: WarmupSchedule = WarmupSchedule()  # default: none
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class Batch:
    """Inputs of one phase for one micro-batch. c_dim is 0 for a dataset without classes."""

    real: Tensor  # [N,C,H,W] in [-1, 1]
    real_c: Tensor  # [N, c_dim]
    z: Tensor  # [N, z_dim]
    c: Tensor  # [N, c_dim], of the generated images
    rng: Rng
    encoder_images: Tensor | None = None  # [N,C,H,W], the encoder's input where it is not `real`


class Losses:
    """Accumulates the gradients of each phase's loss.

    Karras et al. 2020 (StyleGAN2), 2020 (ADA), 2021 (StyleGAN3).
    """

    def __init__(
        self,
        G: Generator,
        D: Discriminator,
        settings: LossSettings,
        augment: Augment | None = None,
        report: Report = lambda name, values: None,
    ) -> None:
        self.G, self.D, self.settings, self.augment, self.report = G, D, settings, augment, report
        self.pl_mean = torch.zeros([], device=next(D.parameters()).device)
        # ADA updates w_avg in every pass of the mapping network, StyleGAN3's code in D's main phase only.
        self.update_w_avg_always = G.config.w_avg_beta == 0.995
        self.encoder: Encoder | None = None  # present while the reconstruction loss is used
        self.loss_scale = 1.0  # multiplies the loss before the backward pass; see `LossScaler`

    def accumulate(self, phase: str, batch: Batch, gain: float, images_done: int) -> None:
        """Add the gradients of `gain` times the mean loss of `batch` to the parameters that require gradients.

        phase is one of PHASES or "VAE"; images_done is the number of images trained so far.
        """
        if phase == "VAE":
            self._vae_loss(batch, gain, images_done)
            return
        settings = self.settings
        has_main_loss = phase in ("Gmain", "Gboth", "Dmain", "Dboth")
        sigma = blur_sigma(settings.blur_init_sigma, settings.blur_fade_kimg, images_done)
        if phase in ("Greg", "Gboth") and settings.pl_weight != 0:
            regularize = True
        else:
            regularize = phase in ("Dreg", "Dboth") and settings.r1_gamma != 0
        if phase.startswith("G"):
            if has_main_loss:
                self._g_main_loss(batch, gain, sigma, images_done)
                if settings.equivariance_weight != 0:
                    self._equivariance_loss(batch, gain)
            if regularize:
                self._path_length_loss(batch, gain)
        else:
            fake = self._d_fake_loss(batch, gain, sigma) if has_main_loss else None
            if has_main_loss or regularize:
                self._d_real_loss(batch, gain, sigma, fake, regularize)

    def _g_main_loss(self, batch: Batch, gain: float, sigma: float, images_done: int) -> None:
        weight = 0.0 if self.encoder is None else self.settings.warmup.reconstruction_weight(images_done)
        num_coded = max(len(batch.z) // 2, 1) if weight > 0 else 0
        if num_coded > 0:
            batch = self._encode_reals(batch, num_coded)
        fakes, _ = self._run_generator(batch, len(batch.z), update_emas=False, num_unmixed=num_coded)
        logits = self._run_discriminator(fakes, batch.c, batch.rng, "fake", sigma)
        self._report_logits("fake", logits)
        loss = F.softplus(-logits)
        self.report("Loss/G/loss", loss)
        total = loss.mean()
        if num_coded > 0:
            distance = multiscale_l1(fakes[:num_coded], batch.real[:num_coded])
            self.report("Loss/VAE/distance", distance)
            self.report("Loss/VAE/weight", torch.tensor(weight))
            total = total + distance.mean() * weight
        self._backward(total * gain)

    def _encode_reals(self, batch: Batch, count: int) -> Batch:
        """Replace the first `count` z and c by the codes and classes of the batch's real images.

        The encoder is not trained by this.
        """
        assert self.encoder is not None
        with torch.no_grad():
            mean, log_variance = self.encoder(
                (batch.real if batch.encoder_images is None else batch.encoder_images)[:count]
            )
        noise = batch.rng.normal("code", mean.shape[1])[:count]
        codes = mean + noise * (log_variance / 2).exp()
        return replace(
            batch,
            z=torch.cat([codes, batch.z[count:]]),
            c=torch.cat([batch.real_c[:count], batch.c[count:]]),
        )

    def _vae_loss(self, batch: Batch, gain: float, images_done: int) -> None:
        """Encode the real images and reconstruct them by G, without noise inputs, which a code cannot predict."""
        assert self.encoder is not None  # the VAE phase exists only with an encoder
        mean, log_variance = self.encoder(batch.real if batch.encoder_images is None else batch.encoder_images)
        z = mean + batch.rng.normal("code", mean.shape[1]) * (log_variance / 2).exp()
        ws = self.G.mapping(z, batch.real_c, update_emas=True)
        reconstructions = self._synthesize(batch, ws, update_emas=True, noise_mode="none")
        distance, nats = multiscale_l1(reconstructions, batch.real), kl_to_standard_normal(mean, log_variance)
        self.report("Loss/VAE/distance", distance.detach())
        self.report("Loss/VAE/nats", nats.detach())
        weight = self.settings.warmup.kl_weight(images_done)
        self.report("Loss/VAE/nats_weight", torch.tensor(weight))
        loss = distance + nats * weight
        self._backward(loss.mean() * gain)

    def _equivariance_loss(self, batch: Batch, gain: float) -> None:
        """Use half of the batch, as each image is synthesized twice."""
        G = self.G
        assert isinstance(G, stylegan3.Generator)  # checked by `training.config.resolve`
        count = max(len(batch.z) // 2, 1)
        ws = self._map(batch, count, update_emas=False)
        motion = sample_motion(batch.rng, G)
        error = equivariance_error(G, motion, lambda: self._synthesize(batch, ws, update_emas=False))
        self.report("Loss/equivariance", error)
        self._backward(error.mean() * (self.settings.equivariance_weight * gain))

    def _path_length_loss(self, batch: Batch, gain: float) -> None:
        count = max(len(batch.z) // self.settings.pl_batch_shrink, 1)
        fakes, ws = self._run_generator(batch, count, update_emas=False, purpose="path ")
        noise = batch.rng.normal("path noise", *fakes.shape[1:])[:count]
        lengths = path_lengths(fakes, ws, noise)
        mean = self.pl_mean.lerp(lengths.mean(), self.settings.pl_decay)
        self.pl_mean.copy_(mean.detach())
        penalty = (lengths - mean).square()
        self.report("Loss/pl_penalty", penalty)
        loss = penalty * self.settings.pl_weight
        self.report("Loss/G/reg", loss)
        self._backward(loss.mean() * gain)

    def _d_fake_loss(self, batch: Batch, gain: float, sigma: float) -> Tensor:
        with torch.no_grad():
            fakes, _ = self._run_generator(batch, len(batch.z), update_emas=True)
        logits = self._run_discriminator(fakes, batch.c, batch.rng, "fake", sigma)
        self._report_logits("fake", logits)
        loss = F.softplus(logits)
        self._backward(loss.mean() * gain)
        return loss.detach()

    def _d_real_loss(self, batch: Batch, gain: float, sigma: float, fake: Tensor | None, regularize: bool) -> None:
        real = batch.real.detach().requires_grad_(regularize)
        logits = self._run_discriminator(real, batch.real_c, batch.rng, "real", sigma)
        self._report_logits("real", logits)
        loss = torch.zeros_like(logits)
        if fake is not None:
            loss = F.softplus(-logits)
            self.report("Loss/D/loss", fake + loss.detach())
        if regularize:
            penalty = gradient_penalty(logits, real)
            self.report("Loss/r1_penalty", penalty)
            r1 = penalty * (self.settings.r1_gamma / 2)
            self.report("Loss/D/reg", r1)
            loss = loss + r1[:, None]
        self._backward(loss.mean() * gain)

    def _run_generator(
        self, batch: Batch, count: int, *, update_emas: bool, purpose: str = "", num_unmixed: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Generate the first `count` images [count,C,H,W] and return them with their ws [count, num_ws, w_dim]."""
        ws = self._map(batch, count, update_emas=update_emas, purpose=purpose, num_unmixed=num_unmixed)
        return self._synthesize(batch, ws, update_emas=update_emas, purpose=purpose), ws

    def _map(self, batch: Batch, count: int, *, update_emas: bool, purpose: str = "", num_unmixed: int = 0) -> Tensor:
        """Map the first `count` z to ws [count, num_ws, w_dim], with style mixing except in the first `num_unmixed`."""
        rng, mapping = batch.rng, self.G.mapping
        z, c = batch.z[:count], batch.c[:count]
        ws = mapping(z, c, update_emas=update_emas or self.update_w_avg_always)
        if self.settings.style_mixing_prob > 0:
            chance, position = rng.uniform(purpose + "mixing", 2)[:count].T
            cutoffs = 1 + np.floor(position * (ws.shape[1] - 1)).astype(int)
            cutoffs[chance >= self.settings.style_mixing_prob] = ws.shape[1]
            cutoffs[:num_unmixed] = ws.shape[1]
            other_ws = mapping(rng.normal(purpose + "mixing z", self.G.z_dim)[:count], c)
            ws = mix_styles(ws, other_ws, torch.from_numpy(cutoffs))
        return ws

    def _synthesize(
        self, batch: Batch, ws: Tensor, *, update_emas: bool, purpose: str = "", noise_mode: str | None = None
    ) -> Tensor:
        """Synthesize images [N,C,H,W] from ws [N, num_ws, w_dim], those of the batch's first N images."""

        def noise(name: str, shape: tuple[int, int, int, int]) -> Tensor:
            return batch.rng.normal(f"{purpose}noise {name}", *shape[1:])[: len(ws)]

        options = {"update_emas": update_emas, "noise_mode": noise_mode or self.settings.noise_mode, "noise": noise}
        if self.settings.gradient_checkpointing:
            return synthesize(self.G.synthesis, ws, **options)
        return self.G.synthesis(ws, **options)

    def _run_discriminator(self, images: Tensor, c: Tensor, rng: Rng, which: str, sigma: float) -> Tensor:
        images = blur(images, sigma)
        if self.augment is not None:
            images = self.augment(images, rng, which)
        return self.D(images, c, run_block=run_block if self.settings.gradient_checkpointing else None)

    def _report_logits(self, which: str, logits: Tensor) -> None:
        self.report(f"Loss/scores/{which}", logits.detach())
        self.report(f"Loss/signs/{which}", logits.detach().sign())

    def _backward(self, loss: Tensor) -> None:
        (loss * self.loss_scale if self.loss_scale != 1 else loss).backward()


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Norm [N] of the Jacobian-vector product of images [N,C,H,W] by ws [N, num_ws, w_dim]; differentiable.

    noise [N,C,H,W] is standard normal. Karras et al. 2020 (StyleGAN2), Eq. 4; root mean square over the rows of ws.
    """
    projected = (images * noise / math.sqrt(images.shape[2] * images.shape[3])).sum()
    (gradient,) = torch.autograd.grad(projected, ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Squared gradient norm [N] of each logit [N, 1] by its image [N,C,H,W]; differentiable.

    R1 regularization: Mescheder et al. 2018, Eq. 9.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=[1, 2, 3])


def mix_styles(ws: Tensor, other_ws: Tensor, cutoffs: Tensor) -> Tensor:
    """Style mixing: replace rows of ws [N, num_ws, w_dim] from each image's cutoff [N] on by those of others.

    Karras et al. 2019 (StyleGAN), Section 3.1.
    """
    rows = torch.arange(ws.shape[1])
    return torch.where((rows >= cutoffs[:, None]).to(ws.device)[:, :, None], other_ws, ws)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Blur images [N,C,H,W] by a Gaussian that falls to 1/2 at `sigma` pixels; unchanged for sigma under 1/3."""
    radius = math.floor(sigma * 3)
    if radius < 1:
        return images
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=torch.float32)
    kernel = (-(offsets / sigma).square()).exp2()
    return filter2d(images, kernel / kernel.sum())


def blur_sigma(initial: float, fade_kimg: float, images_done: int) -> float:
    """Sigma in pixels of the blur of D's input: falls linearly to 0 over fade_kimg thousand images.

    Karras et al. 2021 (StyleGAN3), config R, Appendix D.
    """
    return max(1 - images_done / (fade_kimg * 1000), 0) * initial if fade_kimg > 0 else 0.0
