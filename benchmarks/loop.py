"""Time whole training steps: both networks, augmentation, regularization, Adam and the moving average."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from benchmarks import baseline
from benchmarks.measure import load_average, time_once
from benchmarks.networks import TRAINING
from benchmarks.speed import implementation_name
from networks.architectures.discriminator import Discriminator
from networks.architectures.stylegan3 import Generator
from networks.config import DiscriminatorConfig
from ops import backends, kernels
from training.augmentation.pipeline import Augmentation, config_for
from training.engine.keyed_rng import KeyedRng
from training.objectives.losses import Batch, LossSettings
from training.step import Phase, StepSettings, Trainer

D_REG_INTERVAL = 16  # steps between two regularizations of D


class TrainingLoop:
    """A T network and its discriminator on random images; the channel base is 32 times the resolution."""

    def __init__(self, resolution: int, batch: int, plain: bool = False) -> None:
        kernels.load(wait=True)
        torch.manual_seed(0)
        base = 32 * resolution
        self.G = Generator(replace(TRAINING, img_resolution=resolution, channel_base=base))
        D = Discriminator(DiscriminatorConfig(resolution, channel_base=base, channel_max=TRAINING.channel_max))
        self.trainer = Trainer(
            self.G,
            D,
            LossSettings(r1_gamma=1.0),
            StepSettings(batch=batch, g_lr=1e-4, d_lr=1e-4, d_reg_interval=D_REG_INTERVAL, g_reg_interval=None),
            augment=Augmentation(config_for("bgc"), 0.2),
        )
        if plain:
            synthesis = self.G.synthesis
            synthesis.forward = lambda ws, **_: baseline.generate(synthesis, ws)
        self.images = torch.randn(batch, 3, resolution, resolution)
        self.z, self.no_labels = torch.randn(batch, self.G.z_dim), torch.empty(batch, 0)
        self.batch = batch

    def step(self, index: int) -> None:
        """Run one step; those whose index is a multiple of 16 regularize D too."""
        self.trainer.step(index, 0, self._rounds)

    def _rounds(self, phase: Phase) -> list[Batch]:
        draws = KeyedRng(0, phase.name, range(self.batch))
        return [Batch(self.images, self.no_labels, self.z, self.no_labels, draws)]

    def mean_step_seconds(self) -> float:
        """Return the seconds of a step, averaged over a regularization interval."""
        return (
            time_once(lambda: self.step(1)) * (D_REG_INTERVAL - 1) + time_once(lambda: self.step(0))
        ) / D_REG_INTERVAL


def rate(seconds: float, min_count: int, resolution: int = 64, batch: int = 8) -> dict[str, Any]:
    """Measure images per second, ours and the plain path's, alternating."""
    loops = {"ours": TrainingLoop(resolution, batch), "plain": TrainingLoop(resolution, batch, plain=True)}
    times: dict[str, list[float]] = {name: [] for name in loops}
    for training_loop in loops.values():
        training_loop.step(0)
    end = time.perf_counter() + seconds
    while len(times["ours"]) < min_count or time.perf_counter() < end:
        for name in list(loops)[:: -1 if len(times["ours"]) % 2 else 1]:
            with backends.force_torch() if name == "plain" else nullcontext():
                times[name].append(loops[name].mean_step_seconds())
    rates = {f"{name}_rate": batch / min(times) for name, times in times.items()}
    ratio = median(b / a for a, b in zip(times["ours"], times["plain"], strict=True))
    return {"form": implementation_name(), "load": load_average(), "ratio": ratio, "count": len(times["ours"]), **rates}


def cost(resolution: int, batch: int, seconds: float) -> dict[str, float]:
    """Measure the seconds that a thousand images take."""
    ours = TrainingLoop(resolution, batch)
    ours.step(0)
    end = time.perf_counter() + seconds
    times = [ours.mean_step_seconds(), ours.mean_step_seconds()]
    while time.perf_counter() < end:
        times.append(ours.mean_step_seconds())
    return {"per_kimg": min(times) / batch * 1000}
