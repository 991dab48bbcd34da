"""The whole loop of training: both networks, augmentation, regularisation, Adam and the average."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from benchmarks import baseline
from benchmarks.measure import load, timed
from benchmarks.networks import TRAINING
from benchmarks.speed import form
from networks.architectures.discriminator import Discriminator
from networks.architectures.stylegan3 import Generator
from networks.config import DiscriminatorConfig
from ops import backends, kernels
from training.augmentation.pipeline import Augmentation, pipeline
from training.engine.keyed_rng import KeyedRng
from training.objectives.losses import Batch, LossSettings
from training.step import Phase, StepSettings, Trainer

D_EVERY = 16  # steps between two regularisations of D


class Loop:
    """A T network and its discriminator on random pictures, base 32 channels times the resolution."""

    def __init__(self, resolution: int, batch: int, plain: bool = False) -> None:
        kernels.ready(wait=True)
        torch.manual_seed(0)
        base = 32 * resolution
        self.G = Generator(replace(TRAINING, img_resolution=resolution, channel_base=base))
        D = Discriminator(DiscriminatorConfig(resolution, channel_base=base, channel_max=TRAINING.channel_max))
        self.trainer = Trainer(
            self.G,
            D,
            LossSettings(r1_gamma=1.0),
            StepSettings(batch=batch, g_lr=1e-4, d_lr=1e-4, d_reg_interval=D_EVERY, g_reg_interval=None),
            augment=Augmentation(pipeline("bgc"), 0.2),
        )
        if plain:
            synthesis = self.G.synthesis
            synthesis.forward = lambda ws, **_: baseline.generate(synthesis, ws)
        self.pictures = torch.randn(batch, 3, resolution, resolution)
        self.z, self.none = torch.randn(batch, self.G.z_dim), torch.empty(batch, 0)
        self.batch = batch

    def step(self, index: int) -> None:
        """Steps whose index is a multiple of 16 regularise D, too."""
        self.trainer.step(index, 0, self._rounds)

    def _rounds(self, phase: Phase) -> list[Batch]:
        draws = KeyedRng(0, phase.name, range(self.batch))
        return [Batch(self.pictures, self.none, self.z, self.none, draws)]

    def seconds(self) -> float:
        """Of a step on average."""
        return (timed(lambda: self.step(1)) * (D_EVERY - 1) + timed(lambda: self.step(0))) / D_EVERY


def loop(seconds: float, least: int, resolution: int = 64, batch: int = 8) -> dict[str, Any]:
    """Pictures a second, ours and the plain path's, in turns."""
    loops = {"ours": Loop(resolution, batch), "plain": Loop(resolution, batch, plain=True)}
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for one in loops.values():
        one.step(0)
    end = time.perf_counter() + seconds
    while len(taken["ours"]) < least or time.perf_counter() < end:
        for name in list(loops)[:: -1 if len(taken["ours"]) % 2 else 1]:
            with backends.force_torch() if name == "plain" else nullcontext():
                taken[name].append(loops[name].seconds())
    rates = {f"{name}_rate": batch / min(times) for name, times in taken.items()}
    ratio = median(b / a for a, b in zip(taken["ours"], taken["plain"], strict=True))
    return {"form": form(), "load": load(), "ratio": ratio, "count": len(taken["ours"]), **rates}


def cost(resolution: int, batch: int, seconds: float) -> dict[str, float]:
    """Seconds that a thousand pictures take."""
    ours = Loop(resolution, batch)
    ours.step(0)
    end = time.perf_counter() + seconds
    times = [ours.seconds(), ours.seconds()]
    while time.perf_counter() < end:
        times.append(ours.seconds())
    return {"per_kimg": min(times) / batch * 1000}
