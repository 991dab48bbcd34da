"""A network with named classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cli_commands import NAMES

from networks import save_networks
from networks.architectures.stylegan2 import Generator
from networks.config import StyleGAN2Config


@pytest.fixture
def named_network(tmp_path: Path) -> Path:
    """A network of four classes with names."""
    torch.manual_seed(0)
    config = StyleGAN2Config(img_resolution=16, z_dim=8, w_dim=8, c_dim=4, channel_base=128, channel_max=8)
    return save_networks(tmp_path / "named.safetensors", {"G_ema": Generator(config).eval()}, classes=NAMES)
