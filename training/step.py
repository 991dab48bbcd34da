"""One step of training: the phases of both networks, their optimisers, and the slow average of G."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from networks.architectures.discriminator import Discriminator
from training.engine.distributed import Team
from training.engine.ema import ema_decay, update_average
from training.engine.offload import OffloadedAdam
from training.objectives.losses import Augment, Batch, Generator, Losses, LossSettings, Report
from training.objectives.vae_warmup import LEARNING_RATE, MOMENTUM, Encoder


class Diverged(Exception):
    """A loss or gradient is not a number any more; the step was not taken."""


@dataclass(frozen=True)
class Phase:
    """A part of a step that has gradients of its own: `Gmain` at every step, `Greg` at every fourth ..."""

    name: str
    interval: int

    @property
    def network(self) -> str:
        return self.name[0]


@dataclass(frozen=True)
class StepSettings:
    """Learning rates, averages and intervals."""

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
    offload_adam: bool = False  # keep the optimisers' state in the machine's memory
    grad_scale: bool = False  # scale losses so that half precision does not lose small gradients


VAE = Phase("VAE", 1)  # the only one while the training is an autoencoder


def phases(settings: StepSettings) -> tuple[Phase, ...]:
    """The phases of a step in their order. Lazy regularisation, Karras et al. 2020 (StyleGAN2), Section 3.1."""
    found: list[Phase] = []
    for network, interval in (("G", settings.g_reg_interval), ("D", settings.d_reg_interval)):
        if interval is None:
            found.append(Phase(f"{network}both", 1))
        else:
            found += [Phase(f"{network}main", 1), Phase(f"{network}reg", interval)]
    return tuple(found)


def lazy_adam(
    parameters: Iterable[nn.Parameter],
    lr: float,
    betas: tuple[float, float],
    eps: float,
    interval: int | None,
    offload: bool = False,
) -> torch.optim.Adam:
    """Adam, slowed down so that the extra steps of a regularisation at every `interval` steps make no difference."""
    ratio = 1.0 if interval is None else interval / (interval + 1)
    # torch tells an integer 0 from a float here, and refuses it.
    first, second = (float(beta) ** ratio for beta in betas)
    kind = OffloadedAdam if offload else torch.optim.Adam
    return kind(list(parameters), lr=lr * ratio, betas=(first, second), eps=eps)


class Trainer:
    """Both networks, the average, and all that moves them."""

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
        team: Team | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.G, self.D, self.settings, self.team = G, D, settings, team or Team()
        self.G_ema = (copy.deepcopy(G) if G_ema is None else G_ema).eval().requires_grad_(False)
        G.train().requires_grad_(False)
        D.train().requires_grad_(False)
        self.losses = Losses(G, D, losses, augment, report)
        self.encoder = self.losses.encoder = encoder
        self.phases = phases(settings)
        self.trained = {"G": _trained(G, settings.freeze_mapping), "D": _trained(D, False)}
        lrs, intervals = (settings.g_lr, settings.d_lr), (settings.g_reg_interval, settings.d_reg_interval)
        self.optimisers = {
            name: lazy_adam(self.trained[name], lr, settings.betas, settings.eps, interval, settings.offload_adam)
            for name, lr, interval in zip("GD", lrs, intervals, strict=True)
        }
        if encoder is not None:
            encoder.train().requires_grad_(False)
            self.trained["V"] = [*self.trained["G"], *encoder.parameters()]
            self.optimisers["V"] = lazy_adam(
                self.trained["V"], LEARNING_RATE, MOMENTUM, settings.eps, None, settings.offload_adam
            )
        self.scale = GradientScale() if settings.grad_scale else None
        self.forgiven = 0  # steps in a row whose gradients had to be mended
        half = [step.dtype for step in G.synthesis.steps] + [torch.float32]
        self.half = torch.float16 in half and next(G.parameters()).device.type == "cuda"

    def end_autoencoder(self) -> None:
        """The encoder learns nothing any more; its codes may serve G for a while."""
        del self.trained["V"], self.optimisers["V"]

    def forget_encoder(self) -> None:
        """G and D go on without it."""
        self.encoder = self.losses.encoder = None

    def due(self, index: int, images_done: int) -> list[Phase]:
        """The phases of step number `index`."""
        if "V" in self.optimisers:
            return [VAE]
        judged = images_done >= self.losses.settings.start.g_is_judged_from
        return [p for p in self.phases if index % p.interval == 0 and (judged or p.network == "D")]

    def step(self, index: int, images_done: int, rounds: Callable[[Phase], Sequence[Batch]]) -> None:
        """Step number `index`, when `images_done` pictures have been seen; `rounds(phase)` are this process's batches.

        Raises Diverged where a gradient is not finite; G and D may then have taken a part of the step.
        """
        start = self.losses.settings.start
        if self.encoder is not None and "V" in self.optimisers and images_done >= start.encoder_learns_until:
            self.encoder.give_to(self.D)
            self.end_autoencoder()
        if self.encoder is not None and images_done >= start.encoder_serves_until:
            self.forget_encoder()
        for phase in self.due(index, images_done):
            self.run(phase, rounds(phase), images_done)
        decay = ema_decay(self.settings.batch, self.settings.ema_kimg, self.settings.ema_rampup, images_done)
        update_average(self.G_ema, self.G, decay)

    def run(self, phase: Phase, batches: Sequence[Batch], images_done: int) -> None:
        """One phase: gradients of the mean loss over all rounds and processes, and a step of Adam."""
        trained, optimiser = self.trained[phase.network], self.optimisers[phase.network]
        optimiser.zero_grad(set_to_none=True)
        for parameter in trained:
            parameter.requires_grad_(True)
        self.losses.scale = self.scale.value if self.scale else 1.0
        averages = self._averages()
        before = [average.clone() for average in averages]
        learnt = [torch.zeros_like(average) for average in averages]
        for batch in batches:
            self.losses.accumulate(phase.name, batch, phase.interval / len(batches), images_done)
            # Each round starts from the same averages and the mean of what they learn is kept, so that it does not
            # matter who does which round.
            for average, old, sum_ in zip(averages, before, learnt, strict=True):
                sum_ += average - old
                average.copy_(old)
        for parameter in trained:
            parameter.requires_grad_(False)
        if len(batches) > 1:
            torch._foreach_div_(learnt, len(batches))
        self.team.average(learnt)
        for average, old, mean in zip(averages, before, learnt, strict=True):
            average.copy_(old + mean)
        grads = [parameter.grad for parameter in trained if parameter.grad is not None]
        if grads:
            self.team.average(grads)
            if self._mend(grads):
                optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def _averages(self) -> list[Tensor]:
        """Everything that phases learn besides weights."""
        names = ("w_avg", "magnitude_ema")
        own = [buffer for name, buffer in self.G.named_buffers() if name.rpartition(".")[2] in names]
        return [*own, self.losses.pl_mean]

    def _mend(self, grads: list[Tensor]) -> bool:
        """Unscale, clip, and see to what is not finite; whether the step should be taken. Raises Diverged."""
        if self.scale is not None:
            torch._foreach_div_(grads, self.scale.value)
        finite = bool(torch.stack([grad.isfinite().all() for grad in grads]).all())
        if self.scale is not None:
            self.scale.learn(finite)
            if not finite and self.scale.value > 1e-6:
                return False
        if not finite:
            self.forgiven += 1
            if not self.half or self.forgiven > 32:
                raise Diverged("a gradient is not a finite number")
            for grad in grads:  # as the published runs do: half precision overflows now and then
                torch.nan_to_num(grad, nan=0, posinf=1e5, neginf=-1e5, out=grad)
        else:
            self.forgiven = 0
        if self.settings.clip_grad is not None:
            norm = torch.stack([grad.norm() for grad in grads]).norm()
            torch._foreach_mul_(grads, (self.settings.clip_grad / (norm + 1e-12)).clamp(max=1))
        return True


@dataclass
class GradientScale:
    """A factor on the loss that doubles after 2000 good steps and halves at each overflow, whose step is left out."""

    value: float = 2.0**16
    good: int = 0

    def learn(self, finite: bool) -> None:
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.value /= 2
        elif self.good % 2000 == 0:
            self.value *= 2


def _trained(network: nn.Module, freeze_mapping: bool) -> list[nn.Parameter]:
    return [p for name, p in network.named_parameters() if not (freeze_mapping and name.startswith("mapping."))]
