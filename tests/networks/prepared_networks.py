"""Small networks of every kind that prepared layers have to support."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from networks.architectures.stylegan3 import Generator
from networks.config import StyleGAN3Config

T = StyleGAN3Config(img_resolution=32, z_dim=8, w_dim=8, channel_base=512, channel_max=24, conv_clamp=2.0)
# Among them: one channel more than a SIMD vector holds, and layers with far more weights than input elements.
KINDS = {
    "T": T,
    "R": replace(T, conv_kernel=1, use_radial_filters=True),
    "odd": replace(T, channel_max=17, margin_size=3),
    "wide": replace(T, channel_base=2048, channel_max=90, margin_size=2, num_layers=6),
    "many channels": replace(T, channel_base=4096, channel_max=95, margin_size=2, num_layers=6),
    "same rate": replace(T, lrelu_upsampling=1, num_layers=6),
    "wide kernel": replace(T, conv_kernel=5, num_layers=6),
}


def make(kind: str = "T") -> Generator:
    """Build a network with non-zero biases, a magnitude other than 1, and an input that is rotated by w."""
    torch.manual_seed(0)
    network = Generator(KINDS[kind]).eval()
    synthesis = network.synthesis
    for layer in map(synthesis.layer, synthesis.layer_names):
        nn.init.normal_(layer.bias, std=0.3)
        layer.magnitude_ema.fill_(0.6)
    nn.init.normal_(synthesis.input.affine.weight, std=0.5)
    return network
