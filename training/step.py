"""One training step: the loss phases of G and D, their optimizers, and the moving average G_ema."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from networks.architectures.discriminator import Discriminator
from training.engine.distributed import ProcessGroup
from training.engine.ema import ema_decay, update_ema
from training.engine.offload import OffloadedAdam
from training.objectives.losses import Augment, Batch, Generator, Losses, LossSettings, Report
from training.objectives.vae_warmup import BETAS, LEARNING_RATE, Encoder


class Diverged(Exception):
    """A loss or gradient is not finite; the optimizer step was not taken."""


@dataclass(frozen=True)
class Phase:
    """A loss with its own optimizer step, run at every `interval` steps: `Gmain` at each, `Greg` at every fourth ..."""

    name: str
    interval: int

    @property
    def network(self) -> str:
        return self.name[0]


@dataclass(frozen=True)
class StepSettings:
    """Hyperparameters of the optimizers, the moving average and lazy regularization."""

    batch: int
    g_lr: float = 0.0025
    d_lr: float = 0.002
    betas: tuple[float, float] = (0.0, 0.99)
    eps: float = 1e-8
    g_reg_interval: int | None = None
    d_reg_interval: int | None = 16
    ema_kimg: float = 10.0
    ema_rampup: float | None = 0.05
    freeze_mapping: bool = False
    clip_grad: float | None = None
    offload_adam: bool = False  # keep the optimizers' state in CPU memory
    grad_scale: bool = False  # loss scaling, so that small gradients do not underflow in half precision


VAE_PHASE = Phase("VAE", 1)  # the only phase during the VAE warmup


def build_phases(settings: StepSettings) -> tuple[Phase, ...]:
    """Return the phases of a step in their order. Lazy regularization: Karras et al. 2020 (StyleGAN2), Section 3.1."""
    result: list[Phase] = []
    for network, interval in (("G", settings.g_reg_interval), ("D", settings.d_reg_interval)):
        if interval is None:
            result.append(Phase(f"{network}both", 1))
        else:
            result += [Phase(f"{network}main", 1), Phase(f"{network}reg", interval)]
    return tuple(result)


def lazy_adam(
    parameters: Iterable[nn.Parameter],
    lr: float,
    betas: tuple[float, float],
    eps: float,
    interval: int | None,
    offload: bool = False,
) -> torch.optim.Adam:
    """Create an Adam corrected for the additional regularization steps at every `interval` steps.

    Learning rate and betas are adjusted by interval / (interval + 1). Karras et al. 2020 (StyleGAN2), Appendix B.
    """
    ratio = 1.0 if interval is None else interval / (interval + 1)
    # torch refuses an integer 0 beside a float beta.
    first, second = (float(beta) ** ratio for beta in betas)
    optimizer_class = OffloadedAdam if offload else torch.optim.Adam
    return optimizer_class(list(parameters), lr=lr * ratio, betas=(first, second), eps=eps)


class Trainer:
    """G, D, G_ema and the optimizers that train them."""

    def __init__(
        self,
        G: Generator,
        D: Discriminator,
        losses: LossSettings,
        settings: StepSettings,
        *,
        G_ema: Generator | None = None,
        augment: Augment | None = None,
        report: Report = lambda name, values: None,
        process_group: ProcessGroup | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.G, self.D, self.settings, self.process_group = G, D, settings, process_group or ProcessGroup()
        self.G_ema = (copy.deepcopy(G) if G_ema is None else G_ema).eval().requires_grad_(False)
        G.train().requires_grad_(False)
        D.train().requires_grad_(False)
        self.losses = Losses(G, D, losses, augment, report)
        self.encoder = self.losses.encoder = encoder
        self.phases = build_phases(settings)
        self.trainable = {"G": _trainable_parameters(G, settings.freeze_mapping), "D": _trainable_parameters(D, False)}
        lrs, intervals = (settings.g_lr, settings.d_lr), (settings.g_reg_interval, settings.d_reg_interval)
        self.optimizers = {
            name: lazy_adam(self.trainable[name], lr, settings.betas, settings.eps, interval, settings.offload_adam)
            for name, lr, interval in zip("GD", lrs, intervals, strict=True)
        }
        if encoder is not None:
            encoder.train().requires_grad_(False)
            self.trainable["V"] = [*self.trainable["G"], *encoder.parameters()]
            self.optimizers["V"] = lazy_adam(
                self.trainable["V"], LEARNING_RATE, BETAS, settings.eps, None, settings.offload_adam
            )
        self.loss_scaler = LossScaler() if settings.grad_scale else None
        self.consecutive_nonfinite = 0  # steps in a row whose gradients had to be sanitized
        dtypes = [step.dtype for step in G.synthesis.steps]
        self.uses_half_precision = torch.float16 in dtypes and next(G.parameters()).device.type == "cuda"

    def end_vae_warmup(self) -> None:
        """Stop training the encoder; G's reconstruction loss may use it until `drop_encoder`."""
        del self.trainable["V"], self.optimizers["V"]

    def drop_encoder(self) -> None:
        """Remove the encoder and the reconstruction loss."""
        self.encoder = self.losses.encoder = None

    def phases_due(self, index: int, images_done: int) -> list[Phase]:
        """Return the phases to run in step number `index`."""
        if "V" in self.optimizers:
            return [VAE_PHASE]
        g_is_trained = images_done >= self.losses.settings.warmup.adversarial_start
        return [p for p in self.phases if index % p.interval == 0 and (g_is_trained or p.network == "D")]

    def step(self, index: int, images_done: int, micro_batches: Callable[[Phase], Sequence[Batch]]) -> None:
        """Take step number `index`, after images_done images; micro_batches(phase) gives this process's batches.

        Raises Diverged if a gradient is not finite; earlier phases of the step have then been taken already.
        """
        warmup = self.losses.settings.warmup
        if self.encoder is not None and "V" in self.optimizers and images_done >= warmup.encoder_training_end:
            self.encoder.copy_to_discriminator(self.D)
            self.end_vae_warmup()
        if self.encoder is not None and images_done >= warmup.encoder_end:
            self.drop_encoder()
        for phase in self.phases_due(index, images_done):
            self.run_phase(phase, micro_batches(phase), images_done)
        decay = ema_decay(self.settings.batch, self.settings.ema_kimg, self.settings.ema_rampup, images_done)
        update_ema(self.G_ema, self.G, decay)

    def run_phase(self, phase: Phase, batches: Sequence[Batch], images_done: int) -> None:
        """Take an Adam step on the mean loss over all micro-batches and processes. Raises Diverged."""
        trainable, optimizer = self.trainable[phase.network], self.optimizers[phase.network]
        optimizer.zero_grad(set_to_none=True)
        for parameter in trainable:
            parameter.requires_grad_(True)
        self.losses.loss_scale = self.loss_scaler.value if self.loss_scaler else 1.0
        averages = self._running_averages()
        before = [average.clone() for average in averages]
        updates = [torch.zeros_like(average) for average in averages]
        for batch in batches:
            self.losses.accumulate(phase.name, batch, phase.interval / len(batches), images_done)
            # Each micro-batch starts from the same running averages, and the mean of the updates is applied, so the
            # result does not depend on how micro-batches are distributed over processes.
            for average, old, sum_ in zip(averages, before, updates, strict=True):
                sum_ += average - old
                average.copy_(old)
        for parameter in trainable:
            parameter.requires_grad_(False)
        if len(batches) > 1:
            torch._foreach_div_(updates, len(batches))
        self.process_group.mean_(updates)
        for average, old, mean in zip(averages, before, updates, strict=True):
            average.copy_(old + mean)
        grads = [parameter.grad for parameter in trainable if parameter.grad is not None]
        if grads:
            self.process_group.mean_(grads)
            if self._sanitize_grads(grads):
                optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _running_averages(self) -> list[Tensor]:
        """Return the running averages that phases update: w_avg, magnitude EMAs and pl_mean."""
        names = ("w_avg", "magnitude_ema")
        buffers = [buffer for name, buffer in self.G.named_buffers() if name.rpartition(".")[2] in names]
        return [*buffers, self.losses.pl_mean]

    def _sanitize_grads(self, grads: list[Tensor]) -> bool:
        """Unscale gradients in place, replace what is not finite and clip; False skips the step. Raises Diverged."""
        if self.loss_scaler is not None:
            torch._foreach_div_(grads, self.loss_scaler.value)
        finite = bool(torch.stack([grad.isfinite().all() for grad in grads]).all())
        if self.loss_scaler is not None:
            self.loss_scaler.update(finite)
            if not finite and self.loss_scaler.value > 1e-6:
                return False
        if not finite:
            self.consecutive_nonfinite += 1
            if not self.uses_half_precision or self.consecutive_nonfinite > 32:
                raise Diverged("a gradient is not a finite number")
            for grad in grads:  # as StyleGAN2-ADA does: half precision occasionally overflows
                torch.nan_to_num(grad, nan=0, posinf=1e5, neginf=-1e5, out=grad)
        else:
            self.consecutive_nonfinite = 0
        if self.settings.clip_grad is not None:
            norm = torch.stack([grad.norm() for grad in grads]).norm()
            torch._foreach_mul_(grads, (self.settings.clip_grad / (norm + 1e-12)).clamp(max=1))
        return True


@dataclass
class LossScaler:
    """Dynamic loss scale: doubled after 2000 steps without overflow, halved at each overflow, whose step is skipped.

    Not torch.amp.GradScaler: gradients are averaged over processes before they are checked, and a run's state files
    hold these two numbers.
    """

    value: float = 2.0**16
    good_steps: int = 0

    def update(self, finite: bool) -> None:
        """Adjust the scale after a step whose gradients were all finite, or not."""
        self.good_steps = self.good_steps + 1 if finite else 0
        if not finite:
            self.value /= 2
        elif self.good_steps % 2000 == 0:
            self.value *= 2


def _trainable_parameters(network: nn.Module, freeze_mapping: bool) -> list[nn.Parameter]:
    return [p for name, p in network.named_parameters() if not (freeze_mapping and name.startswith("mapping."))]
