"""The networks of a training: made from its configuration and seed, or taken over from another network."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from networks import CheckpointError, load_network
from networks.architectures import stylegan2, stylegan3
from networks.architectures.discriminator import Discriminator
from networks.config import DiscriminatorConfig, GeneratorConfig, StyleGAN3Config
from networks.presets import preset
from training.config import TrainingConfig
from training.objectives.losses import Generator, LossSettings
from training.objectives.vae_warmup import Encoder, WarmupSchedule
from training.step import StepSettings


def network_configs(config: TrainingConfig) -> tuple[GeneratorConfig, DiscriminatorConfig]:
    """What both networks are built from."""
    base, critic = preset(
        config.network,
        config.resolution,
        img_channels=config.channels,
        c_dim=config.label_dim,
        batch=config.batch,
    )
    single: dict[str, Any] = {"num_fp16_res": 0, "conv_clamp": None} if config.fp32 else {}
    double = 2 if isinstance(base, StyleGAN3Config) and base.use_radial_filters else 1
    options: dict[str, Any] = {
        "z_dim": z_dim(config),
        "w_dim": config.latent,
        "mapping_num_layers": config.map_depth,
        "channel_base": config.cbase * double,
        "channel_max": config.cmax * double,
        **single,
    }
    if isinstance(base, StyleGAN3Config):
        options |= {
            "num_layers": config.layers,
            "first_cutoff": config.first_cutoff,
            "first_stopband": config.first_stopband,
        }
    critic = replace(
        critic,
        channel_base=config.cbase,
        channel_max=config.cmax,
        freeze_layers=config.freezed,
        mbstd_group_size=config.mbstd_group,
        **single,
    )
    return replace(base, **options), critic


def z_dim(config: TrainingConfig) -> int:
    """The length of z, which is that of w unless it was asked for."""
    return config.latent if config.z_dim is None else config.z_dim


def settings_of(config: TrainingConfig) -> tuple[LossSettings, StepSettings]:
    """What the losses and the optimisers need to know."""
    return LossSettings(
        r1_gamma=config.gamma,
        style_mixing_prob=config.style_mixing,
        pl_weight=config.pl_weight,
        blur_init_sigma=config.blur,
        blur_fade_kimg=config.blur_fade_kimg,
        equivariance_weight=config.equivariance,
        warmup=WarmupSchedule(
            config.vae_kimg, config.vae_d_kimg, config.vae_fade_kimg, config.vae_kl, config.vae_fading
        ),
        gradient_checkpointing=config.gradient_checkpointing,
    ), StepSettings(
        batch=config.batch,
        g_lr=config.g_lr,
        d_lr=config.d_lr,
        g_reg_interval=config.g_reg_interval,
        d_reg_interval=config.d_reg_interval,
        ema_kimg=config.ema_kimg,
        ema_rampup=config.ema_rampup,
        freeze_mapping=config.freeze_mapping,
        clip_grad=config.clip_grad,
        grad_scale=config.grad_scale,
        offload_adam=config.offload_adam,
    )


def build(config: TrainingConfig, device: torch.device) -> tuple[Generator, Discriminator, Generator, list[str]]:
    """G, D, G_ema and sentences about what was taken over. The same seed makes the same weights on every device.

    Raises CheckpointError where --resume names what cannot be read or does not fit.
    """
    g_config, d_config = network_configs(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        G: Generator = (
            stylegan3.Generator(g_config) if isinstance(g_config, StyleGAN3Config) else stylegan2.Generator(g_config)
        )
        D = Discriminator(d_config)
    G_ema = copy.deepcopy(G)
    told: list[str] = []
    if config.resume is not None:
        told = _take_over(config.resume, G, D, G_ema)
    return G.to(device), D.to(device), G_ema if config.offload_ema else G_ema.to(device), told


def build_encoder(config: TrainingConfig, device: torch.device) -> Encoder | None:
    """What makes G the decoder of an autoencoder at the beginning, where that was asked for."""
    if config.vae_kimg == 0:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Encoder(network_configs(config)[1], z_dim(config)).to(device)


def _take_over(source: str, G: Generator, D: Discriminator, G_ema: Generator) -> list[str]:
    found = load_network(source)
    told = []
    for role, target in (("G", G), ("D", D), ("G_ema", G_ema)):
        given = found.networks().get(role)  # type: ignore[call-overload]
        if given is None and role != "D":
            given = found.generator
        if given is None:
            told.append(f"{source} holds no D, so it starts anew.")
            continue
        taken, of = copy_matching(given, target)
        if taken == 0:
            raise CheckpointError(
                f"{source} holds a {role} of another kind, of which nothing fits this --cfg; choose the --cfg that it "
                "was trained with.",
                "foreign",
            )
        told.append(f"{role}: {taken} of {of} tensors taken over from {source}.")
    return told


@torch.no_grad()
def copy_matching(source: nn.Module, target: nn.Module) -> tuple[int, int]:
    """Copy every tensor that has the same name and shape in both; how many were copied, of how many."""
    given, own = source.state_dict(), target.state_dict()
    taken = 0
    for name, tensor in own.items():
        if name in given and given[name].shape == tensor.shape:
            tensor.copy_(given[name])
            taken += 1
    return taken, len(own)
