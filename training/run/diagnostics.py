"""Diagnostics of a training run: advice about overfitting, mode collapse and divergence, and estimates of its cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from networks.class_names import summarize
from training.config import TrainingConfig, suggest_gamma


def find_problems(config: TrainingConfig, stats: dict[str, dict[str, Any]], p: float, kimg: float) -> list[str]:
    """Return warnings about one tick; empty if all is well.

    stats: as from `statistics.summarize`. p: the present augmentation probability. kimg: thousands of images so far.
    """

    def mean(name: str) -> float | None:
        return stats[name]["mean"] if name in stats else None

    messages = []
    signs, real, fake = mean("Loss/signs/real"), mean("Loss/scores/real"), mean("Loss/scores/fake")
    if kimg >= 100 and signs is not None and signs > 0.9:
        cure = "train with --aug ada, more pictures or --mirror" if config.aug != "ada" else "more pictures would help"
        messages.append(f"D knows the real pictures by heart (r_t is {signs:.2f}): {cure}.")
    if config.aug == "ada" and p > 0.8:
        messages.append(f"Augmentation is at {p:.2f}, near its limit: the dataset is small for this network.")
    if real is not None and fake is not None and real - fake > 30:
        messages.append(
            f"D tells reals from fakes by {real - fake:.0f} logits, so G learns little: a larger --gamma than "
            f"{config.gamma:g} may help."
        )
    return messages


def detect_collapse(fakes: np.ndarray, reals: np.ndarray) -> str | None:
    """Return a warning if images uint8 [N,C,H,W] vary among each other far less than the reals do, else None."""
    if len(fakes) < 4 or len(reals) < 4:
        return None
    fake_std, real_std = (images.astype(np.float32).std(axis=0).mean() for images in (fakes, reals))
    if fake_std < 0.2 * real_std:
        return (
            f"The pictures vary {fake_std / real_std:.2f} times as much as the reals: G may be collapsing; "
            "try twice the --gamma, or go back to an earlier snapshot."
        )
    return None


def estimate_run(
    config: TrainingConfig,
    parameters: tuple[int, int],
    seconds_per_image: float,
    memory_gb: float,
    classes: Sequence[str] = (),
) -> list[str]:
    """Return lines about the cost of a run, extrapolated from a measured step.

    parameters: numbers of G and D. classes: class names, if any.
    """
    hours = config.kimg * 1000 * seconds_per_image / 3600
    g, d = parameters
    pictures = f"{config.pictures} pictures" + (", mirrored" if config.mirror else "")
    rule = suggest_gamma(config.resolution, config.batch)
    names = f" ({summarize(classes, 10)})" if classes else ""
    lines = [
        f"Dataset      {config.data}: {pictures}, {config.resolution} pixels, "
        f"{'grey' if config.channels == 1 else 'RGB'}, "
        f"{config.label_dim or 'no'} classes{names}",
        f"Networks     {config.cfg}: G {g:,} and D {d:,} parameters",
        f"Memory       {memory_gb:.1f} GB in a measured step of {config.batch_gpu} pictures at a time",
        f"Time         {seconds_per_image * 1000:.1f} s/kimg measured, {hours:.1f} hours for {config.kimg:g} kimg",
        f"Gamma        {config.gamma:g}; the rule of thumb for this resolution and batch is {rule:.4g}",
    ]
    if config.vae_kimg > 0:
        lines.insert(4, f"Start        {_describe_warmup(config)}")
    if config.pictures < 1000:
        lines.append(f"Only {config.pictures} pictures: expect copies of them; --mirror and --resume help.")
    return lines


def _describe_warmup(config: TrainingConfig) -> str:
    """Describe the phases of the VAE warmup."""
    words = f"{config.vae_kimg:g} kimg as an autoencoder, at a little more than half of this time each"
    if config.vae_d_kimg > 0:
        words += f"; {config.vae_d_kimg:g} kimg D alone"
    if config.vae_fade_kimg > 0:
        words += f"; {config.vae_fade_kimg:g} kimg with a share of the autoencoder's loss that falls to nothing"
    return words


def oom_message(config: TrainingConfig) -> str:
    """Return advice about which option to lower."""
    lower = max(config.batch_gpu // 2, config.mbstd_group)
    if lower < config.batch_gpu:
        return f"The memory is full with {config.batch_gpu} pictures at a time: try --batch-gpu {lower}."
    return f"The memory is full even with {config.batch_gpu} pictures at a time: lower --cbase {config.cbase} to half."
