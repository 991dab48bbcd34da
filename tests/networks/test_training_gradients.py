"""Networks can be trained: first- and second-order gradients reach every weight."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from networks.architectures import stylegan2, stylegan3
from networks.architectures.discriminator import Discriminator
from networks.config import DiscriminatorConfig, StyleGAN2Config, StyleGAN3Config

SG2 = StyleGAN2Config(
    img_resolution=16, z_dim=8, w_dim=8, c_dim=2, mapping_num_layers=2, channel_base=128, channel_max=8
)
SG3 = StyleGAN3Config(img_resolution=16, z_dim=8, w_dim=8, c_dim=2, channel_base=64, channel_max=8)
GENERATORS = {
    "T": SG3,
    "R": replace(SG3, conv_kernel=1, use_radial_filters=True),
    "orig": replace(SG2, architecture="orig"),
    "skip": replace(SG2, fused_modconv_default="inference_only"),
    "resnet": replace(SG2, architecture="resnet"),
}


def build(name: str) -> stylegan2.Generator | stylegan3.Generator:
    torch.manual_seed(0)
    config = GENERATORS[name]
    if isinstance(config, StyleGAN3Config):
        return stylegan3.Generator(config).train()
    return stylegan2.Generator(config).train()


def discriminator(architecture: str) -> Discriminator:
    torch.manual_seed(1)
    config = DiscriminatorConfig(16, c_dim=2, channel_base=128, channel_max=8, mapping_num_layers=2)
    return Discriminator(replace(config, architecture=architecture)).train()


def check_gradients(module: torch.nn.Module, except_for: tuple[str, ...] = ()) -> None:
    for name, parameter in module.named_parameters():
        if name.endswith(except_for):
            continue
        assert parameter.grad is not None, f"{name} got no gradient"
        assert parameter.grad.isfinite().all(), f"{name} got a gradient that is not finite"
        assert parameter.grad.abs().max() > 0, f"{name} got a gradient of zero"


@pytest.mark.parametrize("name", GENERATORS)
def test_the_generators_loss_reaches_every_weight(name):
    G, D = build(name), discriminator("resnet")
    c = torch.eye(2).repeat(2, 1)
    torch.nn.functional.softplus(-D(G(torch.randn(4, 8), c), c)).mean().backward()
    check_gradients(G)


@pytest.mark.parametrize("name", GENERATORS)
def test_path_length_reaches_weights_through_a_second_derivative(name):
    """The gradient of |d(image . noise) / dw|^2, Karras et al. 2020, Eq. 4."""
    G = build(name)
    ws = G.mapping(torch.randn(2, 8), torch.eye(2))
    image = G.synthesis(ws)
    (slope,) = torch.autograd.grad((image * torch.randn_like(image)).sum(), ws, create_graph=True)
    slope.square().sum(dim=2).mean(dim=1).sqrt().mean().backward()
    assert slope.isfinite().all()
    reached = [p.grad for p in G.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in reached)
    weights = [p.grad for n, p in G.synthesis.named_parameters() if n.endswith("weight") and "affine" not in n]
    assert all(grad is not None and grad.abs().max() > 0 for grad in weights)


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_r1_reaches_the_discriminators_weights_through_a_second_derivative(architecture):
    """The gradient of |d logit / d image|^2, Mescheder et al. 2018."""
    D = discriminator(architecture)
    images = torch.randn(4, 3, 16, 16, requires_grad=True)
    logits = D(images, torch.eye(2).repeat(2, 1))
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    penalty = slope.square().sum(dim=[1, 2, 3])
    assert penalty.min() > 0
    penalty.mean().backward()
    # Leaky ReLUs are piecewise linear: a bias affects the gradient only through minibatch standard deviation.
    check_gradients(D, except_for=("bias",))


def test_gradients_agree_with_finite_differences():
    """Central differences along a direction in w, in float32 accurate to about three digits."""
    for name in ("T", "skip"):
        G = build(name)
        ws = G.mapping(torch.randn(2, 8), torch.eye(2)).detach().requires_grad_(True)
        direction, cot = torch.randn_like(ws), torch.randn(2, 3, 16, 16)
        (grad,) = torch.autograd.grad((G.synthesis(ws) * cot).sum(), ws)
        with torch.no_grad():
            step = 1e-3
            up, down = (((G.synthesis(ws + sign * step * direction)) * cot).sum() for sign in (1, -1))
        expected = float((up - down) / (2 * step))
        assert float((grad * direction).sum()) == pytest.approx(expected, rel=0.02, abs=0.02)
