"""The baseline of the benchmarks computes the same images and gradients as our networks."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from benchmarks import baseline
from benchmarks.loop import TrainingLoop
from networks.architectures.stylegan3 import Generator
from networks.config import StyleGAN3Config
from ops import backends

SMALL = StyleGAN3Config(img_resolution=32, z_dim=8, w_dim=8, channel_base=256, channel_max=20, conv_clamp=1.5)
KINDS = {"T": SMALL, "R": replace(SMALL, conv_kernel=1, use_radial_filters=True)}


def make(kind: str) -> Generator:
    torch.manual_seed(0)
    network = Generator(KINDS[kind])
    for layer in map(network.synthesis.layer, network.synthesis.layer_names):
        torch.nn.init.normal_(layer.bias, std=0.3)
        layer.magnitude_ema.fill_(0.7)
    return network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 3])
@torch.no_grad()
def test_the_plain_path_computes_the_same_image(kind: str, batch: int) -> None:
    network = make(kind)
    ws = torch.randn(batch, network.num_ws, 8)
    ours, plain = network.synthesis(ws), baseline.generate(network.synthesis, ws)
    assert float((ours - plain).abs().max()) < 1e-4 * float(plain.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_the_plain_path_computes_the_same_gradients(kind: str) -> None:
    network = make(kind)
    ws = torch.randn(2, network.num_ws, 8)
    parameters = list(network.synthesis.parameters())
    direction = torch.randn(2, 3, 32, 32)
    ours = torch.autograd.grad((network.synthesis(ws) * direction).sum(), parameters)
    plain = torch.autograd.grad((baseline.generate(network.synthesis, ws) * direction).sum(), parameters)
    for actual, expected in zip(ours, plain, strict=True):
        assert float((actual - expected).abs().max()) <= 1e-3 * float(expected.abs().max())


def test_a_plain_training_step_updates_the_weights_alike():
    weights = []
    for plain in (False, True):
        loop = TrainingLoop(16, 4, plain)
        with backends.force_torch() if plain else nullcontext():
            loop.step(0)
        weights.append([p.detach() for network in (loop.G, loop.trainer.losses.D) for p in network.parameters()])
    for ours, theirs in zip(*weights, strict=True):
        # Adam's first step has the size of the learning rate, whichever sign rounding gives a vanishing gradient.
        assert float((ours - theirs).abs().mean()) < 5e-6
