"""Presets of training: the settings of StyleGAN3 and StyleGAN2-ADA, and some of our own for small machines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from session.fields import FieldError, suggest

VAE_KL = 0.003  # higher makes all images of an autoencoder alike, lower leaves gaps between its codes
VAE_FADING = 10.0  # higher keeps G blurred while the reconstruction loss fades


@dataclass(frozen=True)
class Preset:
    """Settings of one --cfg; None is resolved from batch, resolution and number of GPUs (see `training.config`)."""

    network: str  # name in networks.presets
    run_name_style: Literal["sg3", "ada"]  # run names as of StyleGAN3's train.py, or of StyleGAN2-ADA's
    kimg: int = 25_000
    batch: int | None = None  # images per step, over all GPUs
    gamma: float | None = None  # R1 weight
    mbstd_group: int | None = 4  # images that minibatch standard deviation compares
    fmaps: float | None = 1.0  # --cbase / 32768
    cmax: int = 512
    latent: int = 512  # length of z and w
    num_layers: int = 14  # of StyleGAN3, without input and ToRGB
    first_cutoff: float = 2.0  # of StyleGAN3's input, cycles per image width
    g_lr: float | None = 0.0025
    d_lr: float | None = 0.0025
    ema_kimg: float | None = None
    ema_rampup: float | None = 0.05
    map_depth: int = 2  # layers of the mapping network
    style_mixing: float = 0.0  # probability
    pl_weight: float = 0.0
    g_reg_interval: int | None = None  # steps between two path length regularizations
    blur: float = 0.0  # initial sigma of the blur of D's input, pixels


_STYLEGAN3 = Preset("stylegan3-t", "sg3", d_lr=0.002)
_STYLEGAN2 = Preset("stylegan2", "ada", map_depth=8, style_mixing=0.9, pl_weight=2.0, g_reg_interval=4)
_ADA = replace(_STYLEGAN2, ema_rampup=None)
_SMALL = Preset("stylegan2", "sg3", kimg=1000, fmaps=0.0625, cmax=64, latent=64)
_SMALL_STYLEGAN3 = replace(_SMALL, batch=8, g_lr=0.001, d_lr=0.004)

PRESETS: dict[str, Preset] = {
    # StyleGAN3
    "stylegan3-t": _STYLEGAN3,
    "stylegan3-r": replace(_STYLEGAN3, network="stylegan3-r", blur=10.0),
    "stylegan2": replace(_STYLEGAN2, run_name_style="sg3", g_lr=0.002, d_lr=0.002),
    # StyleGAN2-ADA
    "auto": replace(_STYLEGAN2, network="auto", mbstd_group=None, fmaps=None, g_lr=None, d_lr=None, map_depth=2),
    "stylegan2-ada": replace(
        _ADA, network="stylegan2-ada", batch=32, gamma=10.0, g_lr=0.002, d_lr=0.002, ema_kimg=10.0
    ),
    "paper256": replace(_ADA, network="paper256", batch=64, gamma=1.0, mbstd_group=8, fmaps=0.5, ema_kimg=20.0),
    "paper512": replace(_ADA, network="paper512", batch=64, gamma=0.5, mbstd_group=8, ema_kimg=20.0),
    "paper1024": replace(_ADA, network="paper1024", batch=32, gamma=2.0, g_lr=0.002, d_lr=0.002, ema_kimg=10.0),
    "cifar": Preset(
        "cifar", "ada", kimg=100_000, batch=64, gamma=0.01, mbstd_group=32, ema_kimg=500.0, g_reg_interval=4
    ),
    # Ours, for a GPU of 8 GB and for a CPU: narrow, gamma by the heuristic of "auto". With batches of 8, a StyleGAN3 at
    # the published learning rates outruns D, which then never learns (docs/training.md), so D's rate is higher.
    "small-gpu": replace(_STYLEGAN3, kimg=5000, batch=16, fmaps=0.5, cmax=256, latent=256),
    "cpu": replace(_SMALL, batch=16, g_reg_interval=4),
    "cpu-t": replace(_SMALL_STYLEGAN3, network="stylegan3-t", num_layers=6, first_cutoff=4.0),
    "cpu-r": replace(_SMALL_STYLEGAN3, network="stylegan3-r", fmaps=0.03125, cmax=48, num_layers=8),
}


def get_preset(name: str) -> Preset:
    """Return the preset of this name. Raises FieldError, with the names there are."""
    if name not in PRESETS:
        raise FieldError(f"--cfg is {name!r}: {suggest(name, tuple(PRESETS))}")
    return PRESETS[name]
