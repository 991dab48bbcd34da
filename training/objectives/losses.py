"""What the two networks are trained for: the logistic loss, R1, path length, and what surrounds them in each phase."""

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
from training.engine.gradient_checkpointing import run_block, synthesise
from training.engine.keyed_rng import Draws
from training.objectives.equivariance import drawn_motion, equivariance_error
from training.objectives.vae_warmup import Encoder, Start, divergence, picture_distance

Generator = stylegan2.Generator | stylegan3.Generator
Augment = Callable[[Tensor, Draws, str], Tensor]
Report = Callable[[str, Tensor], None]  # takes the values of one round for the statistics, one a picture

PHASES = ("Gmain", "Greg", "Gboth", "Dmain", "Dreg", "Dboth")


@dataclass(frozen=True)
class LossSettings:
    """What is weighed how much."""

    r1_gamma: float = 10.0
    style_mixing_prob: float = 0.0
    pl_weight: float = 0.0
    pl_batch_shrink: int = 2  # path length is measured on this fraction of the batch
    pl_decay: float = 0.01
    blur_init_sigma: float = 0.0  # pixels
    blur_fade_kimg: float = 0.0
    noise_mode: str = "random"  # of StyleGAN2's noise inputs
    equivariance: float = 0.0  # weight of our regulariser, StyleGAN3 only
    start: Start = Start()  # as an autoencoder, or at once
    recompute: bool = False  # layers in the backward pass, to need less memory


@dataclass(frozen=True)
class Batch:
    """One round of one phase. Classes [N, c_dim] have no columns where there are none."""

    real: Tensor  # [N,C,H,W] in [-1, 1]
    real_c: Tensor
    z: Tensor  # [N, z_dim]
    c: Tensor
    draws: Draws
    shown: Tensor | None = None  # [N,C,H,W] to the encoder in place of the reals


class Losses:
    """Adds the gradients of one phase to its network. Karras et al. 2020 (StyleGAN2), 2020 (ADA), 2021 (StyleGAN3)."""

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
        # ADA's generators let w_avg learn in every pass, StyleGAN3's repository in the discriminator's alone.
        self.w_avg_always = G.config.w_avg_beta == 0.995
        self.encoder: Encoder | None = None  # while the autoencoder's loss counts
        self.scale = 1.0  # of the loss before the backward pass; see `GradientScale`

    def accumulate(self, phase: str, batch: Batch, gain: float, images_done: int) -> None:
        """Add the gradients of the mean loss of `batch` times `gain`, after `images_done` pictures of training."""
        if phase == "VAE":
            self._autoencode(batch, gain, images_done)
            return
        settings = self.settings
        main = phase in ("Gmain", "Gboth", "Dmain", "Dboth")
        sigma = blur_sigma(settings.blur_init_sigma, settings.blur_fade_kimg, images_done)
        if phase in ("Greg", "Gboth") and settings.pl_weight != 0:
            regularise = True
        else:
            regularise = phase in ("Dreg", "Dboth") and settings.r1_gamma != 0
        if phase.startswith("G"):
            if main:
                self._generator(batch, gain, sigma, images_done)
                if settings.equivariance != 0:
                    self._equivariance(batch, gain)
            if regularise:
                self._path_length(batch, gain)
        else:
            fake = self._fakes(batch, gain, sigma) if main else None
            if main or regularise:
                self._reals(batch, gain, sigma, fake, regularise)

    def _generator(self, batch: Batch, gain: float, sigma: float, images_done: int) -> None:
        weight = 0.0 if self.encoder is None else self.settings.start.fading_weight(images_done)
        coded = max(len(batch.z) // 2, 1) if weight > 0 else 0
        if coded > 0:
            batch = self._with_codes(batch, coded)
        fakes, _ = self._generate(batch, len(batch.z), learn_averages=False, unmixed=coded)
        logits = self._judge(fakes, batch.c, batch.draws, "fake", sigma)
        self._report_logits("fake", logits)
        loss = F.softplus(-logits)
        self.report("Loss/G/loss", loss)
        total = loss.mean()
        if coded > 0:
            distance = picture_distance(fakes[:coded], batch.real[:coded])
            self.report("Loss/VAE/distance", distance)
            self.report("Loss/VAE/weight", torch.tensor(weight))
            total = total + distance.mean() * weight
        self._backward(total * gain)

    def _with_codes(self, batch: Batch, count: int) -> Batch:
        """The first `count` pictures are to be those reals: their codes, by the encoder as it is, and their classes."""
        assert self.encoder is not None
        with torch.no_grad():
            mean, log_variance = self.encoder((batch.real if batch.shown is None else batch.shown)[:count])
        noise = batch.draws.normal("code", mean.shape[1])[:count]
        codes = mean + noise * (log_variance / 2).exp()
        return replace(
            batch,
            z=torch.cat([codes, batch.z[count:]]),
            c=torch.cat([batch.real_c[:count], batch.c[count:]]),
        )

    def _autoencode(self, batch: Batch, gain: float, images_done: int) -> None:
        """Each real picture to its code, and back by G; without noise inputs, which it could not foresee."""
        assert self.encoder is not None  # without one there is no such phase
        mean, log_variance = self.encoder(batch.real if batch.shown is None else batch.shown)
        z = mean + batch.draws.normal("code", mean.shape[1]) * (log_variance / 2).exp()
        ws = self.G.mapping(z, batch.real_c, update_emas=True)
        made = self._paint(batch, ws, learn_averages=True, noise_mode="none")
        distance, nats = picture_distance(made, batch.real), divergence(mean, log_variance)
        self.report("Loss/VAE/distance", distance.detach())
        self.report("Loss/VAE/nats", nats.detach())
        weight = self.settings.start.kl_weight(images_done)
        self.report("Loss/VAE/nats_weight", torch.tensor(weight))
        loss = distance + nats * weight
        self._backward(loss.mean() * gain)

    def _equivariance(self, batch: Batch, gain: float) -> None:
        """On half of the batch, as each of its pictures is painted twice."""
        G = self.G
        assert isinstance(G, stylegan3.Generator)  # the configuration saw to that
        count = max(len(batch.z) // 2, 1)
        ws = self._styles(batch, count, learn_averages=False)
        motion = drawn_motion(batch.draws, G)
        error = equivariance_error(G, motion, lambda: self._paint(batch, ws, learn_averages=False))
        self.report("Loss/equivariance", error)
        self._backward(error.mean() * (self.settings.equivariance * gain))

    def _path_length(self, batch: Batch, gain: float) -> None:
        count = max(len(batch.z) // self.settings.pl_batch_shrink, 1)
        fakes, ws = self._generate(batch, count, learn_averages=False, purpose="path ")
        noise = batch.draws.normal("path noise", *fakes.shape[1:])[:count]
        lengths = path_lengths(fakes, ws, noise)
        mean = self.pl_mean.lerp(lengths.mean(), self.settings.pl_decay)
        self.pl_mean.copy_(mean.detach())
        penalty = (lengths - mean).square()
        self.report("Loss/pl_penalty", penalty)
        loss = penalty * self.settings.pl_weight
        self.report("Loss/G/reg", loss)
        self._backward(loss.mean() * gain)

    def _fakes(self, batch: Batch, gain: float, sigma: float) -> Tensor:
        with torch.no_grad():
            fakes, _ = self._generate(batch, len(batch.z), learn_averages=True)
        logits = self._judge(fakes, batch.c, batch.draws, "fake", sigma)
        self._report_logits("fake", logits)
        loss = F.softplus(logits)
        self._backward(loss.mean() * gain)
        return loss.detach()

    def _reals(self, batch: Batch, gain: float, sigma: float, fake: Tensor | None, regularise: bool) -> None:
        real = batch.real.detach().requires_grad_(regularise)
        logits = self._judge(real, batch.real_c, batch.draws, "real", sigma)
        self._report_logits("real", logits)
        loss = torch.zeros_like(logits)
        if fake is not None:
            loss = F.softplus(-logits)
            self.report("Loss/D/loss", fake + loss.detach())
        if regularise:
            penalty = gradient_penalty(logits, real)
            self.report("Loss/r1_penalty", penalty)
            r1 = penalty * (self.settings.r1_gamma / 2)
            self.report("Loss/D/reg", r1)
            loss = loss + r1[:, None]
        self._backward(loss.mean() * gain)

    def _generate(
        self, batch: Batch, count: int, *, learn_averages: bool, purpose: str = "", unmixed: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The first `count` pictures [N,C,H,W] and their ws [N, num_ws, w_dim]."""
        ws = self._styles(batch, count, learn_averages=learn_averages, purpose=purpose, unmixed=unmixed)
        return self._paint(batch, ws, learn_averages=learn_averages, purpose=purpose), ws

    def _styles(self, batch: Batch, count: int, *, learn_averages: bool, purpose: str = "", unmixed: int = 0) -> Tensor:
        """ws [N, num_ws, w_dim] of the first `count` pictures, mixed but for the first `unmixed`."""
        draws, mapping = batch.draws, self.G.mapping
        z, c = batch.z[:count], batch.c[:count]
        ws = mapping(z, c, update_emas=learn_averages or self.w_avg_always)
        if self.settings.style_mixing_prob > 0:
            chance, place = draws.uniform(purpose + "mixing", 2)[:count].T
            cutoffs = 1 + np.floor(place * (ws.shape[1] - 1)).astype(int)
            cutoffs[chance >= self.settings.style_mixing_prob] = ws.shape[1]
            cutoffs[:unmixed] = ws.shape[1]
            others = mapping(draws.normal(purpose + "mixing z", self.G.z_dim)[:count], c)
            ws = mix_styles(ws, others, torch.from_numpy(cutoffs))
        return ws

    def _paint(
        self, batch: Batch, ws: Tensor, *, learn_averages: bool, purpose: str = "", noise_mode: str | None = None
    ) -> Tensor:
        """Pictures [N,C,H,W] of ws, which belong to the first N of the batch."""

        def noise(name: str, shape: tuple[int, int, int, int]) -> Tensor:
            return batch.draws.normal(f"{purpose}noise {name}", *shape[1:])[: len(ws)]

        options = {"update_emas": learn_averages, "noise_mode": noise_mode or self.settings.noise_mode, "noise": noise}
        if self.settings.recompute:
            return synthesise(self.G.synthesis, ws, **options)
        return self.G.synthesis(ws, **options)

    def _judge(self, images: Tensor, c: Tensor, draws: Draws, which: str, sigma: float) -> Tensor:
        images = blur(images, sigma)
        if self.augment is not None:
            images = self.augment(images, draws, which)
        return self.D(images, c, run_block=run_block if self.settings.recompute else None)

    def _report_logits(self, which: str, logits: Tensor) -> None:
        self.report(f"Loss/scores/{which}", logits.detach())
        self.report(f"Loss/signs/{which}", logits.detach().sign())

    def _backward(self, loss: Tensor) -> None:
        (loss * self.scale if self.scale != 1 else loss).backward()


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """How far each picture [N,C,H,W] moves as its ws [N, num_ws, w_dim] move, [N]; can be differentiated.

    `noise` [N,C,H,W] is standard normal. Karras et al. 2020 (StyleGAN2), Eq. 4, root mean square over the rows of ws.
    """
    projected = (images * noise / math.sqrt(images.shape[2] * images.shape[3])).sum()
    (slope,) = torch.autograd.grad(projected, ws, create_graph=True)
    return slope.square().sum(dim=2).mean(dim=1).sqrt()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """The squared slope [N] of each logit in its picture; can be differentiated. R1, Mescheder et al. 2018."""
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slope.square().sum(dim=[1, 2, 3])


def mix_styles(ws: Tensor, others: Tensor, cutoffs: Tensor) -> Tensor:
    """Rows of ws [N, num_ws, w_dim] from each picture's cutoff [N] on are the others'. Karras et al. 2019, 3.1."""
    rows = torch.arange(ws.shape[1])
    return torch.where((rows >= cutoffs[:, None]).to(ws.device)[:, :, None], others, ws)


def blur(images: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur that falls to one half at `sigma` pixels; below a third of a pixel nothing happens."""
    reach = math.floor(sigma * 3)
    if reach < 1:
        return images
    steps = torch.arange(-reach, reach + 1, device=images.device, dtype=torch.float32)
    kernel = (-(steps / sigma).square()).exp2()
    return filter2d(images, kernel / kernel.sum())


def blur_sigma(initial: float, fade_kimg: float, images_done: int) -> float:
    """What D's input is blurred by, fading to nothing over `fade_kimg` thousand pictures (StyleGAN3-R, App. D)."""
    return max(1 - images_done / (fade_kimg * 1000), 0) * initial if fade_kimg > 0 else 0.0
