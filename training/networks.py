"""Build the networks of a training from its configuration and seed, or with weights of another network."""

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
from session.fields import FieldError
from training.config import TrainingConfig
from training.objectives.losses import Generator, LossSettings
from training.objectives.vae_warmup import Encoder, WarmupSchedule
from training.step import StepSettings


def network_configs(config: TrainingConfig) -> tuple[GeneratorConfig, DiscriminatorConfig]:
    """Return the configurations of G and D."""
    base, discriminator = preset(
        config.network,
        config.resolution,
        img_channels=config.channels,
        c_dim=config.label_dim,
        batch=config.batch,
    )
    full_precision: dict[str, Any] = {"num_fp16_res": 0, "conv_clamp": None} if config.fp32 else {}
    width_factor = 2 if isinstance(base, StyleGAN3Config) and base.use_radial_filters else 1
    options: dict[str, Any] = {
        "z_dim": z_dim(config),
        "w_dim": config.latent,
        "mapping_num_layers": config.map_depth,
        "channel_base": config.cbase * width_factor,
        "channel_max": config.cmax * width_factor,
        **full_precision,
    }
    if isinstance(base, StyleGAN3Config):
        options |= {
            "num_layers": config.layers,
            "first_cutoff": config.first_cutoff,
            "first_stopband": config.first_stopband,
        }
    discriminator = replace(
        discriminator,
        channel_base=config.cbase,
        channel_max=config.cmax,
        freeze_layers=config.freezed,
        mbstd_group_size=config.mbstd_group,
        **full_precision,
    )
    return replace(base, **options), discriminator


def check_freezed(config: TrainingConfig) -> None:
    """Raise FieldError if more layers of D are to be frozen than its blocks have, above the last one."""
    critic = network_configs(config)[1]
    per_block = 3 if critic.architecture == "resnet" else 2
    blocks = len(critic.block_resolutions)
    layers = per_block * blocks + (blocks if critic.architecture == "skip" else 1)
    if config.freezed > layers:
        raise FieldError(
            f"--freezed is {config.freezed}, but D has {layers} layers before its last block at {config.resolution} "
            f"pixels; choose fewer than {layers}, so that some of them learn."
        )


def z_dim(config: TrainingConfig) -> int:
    """Return the length of z, by default that of w."""
    return config.latent if config.z_dim is None else config.z_dim


def make_settings(config: TrainingConfig) -> tuple[LossSettings, StepSettings]:
    """Return the settings of losses and optimizers."""
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


def build_networks(
    config: TrainingConfig, device: torch.device
) -> tuple[Generator, Discriminator, Generator, list[str]]:
    """Build G, D and G_ema, and messages about transferred weights. A seed gives the same weights on every device.

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
    messages: list[str] = []
    if config.resume is not None:
        messages = transfer_weights(config.resume, G, D, G_ema)
    return G.to(device), D.to(device), G_ema if config.offload_ema else G_ema.to(device), messages


def build_encoder(config: TrainingConfig, device: torch.device) -> Encoder | None:
    """Build the encoder of the VAE warmup; None if the run has no warmup."""
    if config.vae_kimg == 0:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Encoder(network_configs(config)[1], z_dim(config)).to(device)


def transfer_weights(source: str, G: Generator, D: Discriminator, G_ema: Generator) -> list[str]:
    """Copy what fits from a network file; return messages. Raises CheckpointError if its G is of another kind."""
    checkpoint = load_network(source)
    given, wanted = _kind(checkpoint.generator.config), _kind(G.config)
    if given != wanted:
        raise CheckpointError(
            f"{source} holds a G of another kind ({given}) than --cfg makes ({wanted}), which would begin anew; choose "
            f"--cfg {given}, or another network.",
            "foreign",
        )
    messages = []
    for role, target in (("G", G), ("D", D), ("G_ema", G_ema)):
        source_network = checkpoint.networks().get(role)  # type: ignore[call-overload]
        if source_network is None and role != "D":
            source_network = checkpoint.generator
        if source_network is None:
            messages.append(f"{source} holds no D, so it starts anew.")
            continue
        num_copied, num_total = copy_matching(source_network, target)
        if num_copied == 0:
            raise CheckpointError(
                f"{source} holds a {role} of another kind, of which nothing fits this --cfg; choose the --cfg that it "
                "was trained with.",
                "foreign",
            )
        messages.append(f"{role}: {num_copied} of {num_total} tensors taken over from {source}.")
    return messages


def _kind(config: GeneratorConfig) -> str:
    if not isinstance(config, StyleGAN3Config):
        return "stylegan2"
    return "stylegan3-r" if config.conv_kernel == 1 else "stylegan3-t"


@torch.no_grad()
def copy_matching(source: nn.Module, target: nn.Module) -> tuple[int, int]:
    """Copy every tensor that has the same name and shape in both; return the counts of copied and of all tensors."""
    source_tensors, target_tensors = source.state_dict(), target.state_dict()
    num_copied = 0
    for name, tensor in target_tensors.items():
        if name in source_tensors and source_tensors[name].shape == tensor.shape:
            tensor.copy_(source_tensors[name])
            num_copied += 1
    return num_copied, len(target_tensors)
