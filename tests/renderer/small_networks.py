"""Real small networks with random weights: 16 pixels are fast enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from networks.architectures import stylegan2, stylegan3
from networks.config import StyleGAN2Config, StyleGAN3Config
from session import Model, Scene

SMALL: dict[str, Any] = {
    "img_resolution": 16,
    "z_dim": 16,
    "w_dim": 16,
    "channel_base": 256,
    "channel_max": 16,
    "mapping_num_layers": 2,
}
ALIAS_FREE: dict[str, Any] = {**SMALL, "num_layers": 6, "margin_size": 4}
CONFIGS: dict[str, StyleGAN3Config | StyleGAN2Config] = {
    "T": StyleGAN3Config(**ALIAS_FREE),
    "R": StyleGAN3Config(**ALIAS_FREE, conv_kernel=1, use_radial_filters=True),
    "SG2": StyleGAN2Config(**SMALL),
    "resnet": StyleGAN2Config(**SMALL, architecture="resnet"),
    "classes": StyleGAN2Config(**SMALL, c_dim=5),
    # A few tenths of a second per image, so that there is something to interrupt.
    "slow R": StyleGAN3Config(
        img_resolution=128,
        channel_base=16384,
        channel_max=256,
        mapping_num_layers=2,
        conv_kernel=1,
        use_radial_filters=True,
    ),
    "slow": StyleGAN3Config(img_resolution=128, channel_base=8192, channel_max=128, mapping_num_layers=2),
}
FAMILIES = ("T", "R", "SG2", "resnet")


def make_network(config: StyleGAN2Config | StyleGAN3Config, seed: int = 1) -> Any:
    """A generator with random weights, and an average w as if it had been trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        alias_free = isinstance(config, StyleGAN3Config)
        network = stylegan3.Generator(config) if alias_free else stylegan2.Generator(config)
        network.eval().requires_grad_(False)
        network.mapping.w_avg.normal_(std=0.3)
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.2)  # or noise would not show
    return network


def scene_of(path: Path | str, **parts: object) -> Scene:
    """A scene of the network in a file."""
    return Scene(model=Model(path=str(path)), **parts)  # type: ignore[arg-type]
