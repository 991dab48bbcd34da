"""Layers prepared for an NVIDIA GPU give the images of the plain path, in float32, float16 and bfloat16.

On the CPU plain torch replaces the fused kernel, which tests/ops/test_cuda_kernels.py compares with it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from networks.architectures.stylegan3 import Generator
from networks.config import StyleGAN3Config
from networks.inference.cuda_layer import PreparedCudaLayer

T = StyleGAN3Config(img_resolution=32, z_dim=8, w_dim=8, channel_base=512, channel_max=24)
KINDS = {
    "T": T,
    "R": replace(T, conv_kernel=1, use_radial_filters=True),
    "odd": replace(T, channel_max=17, margin_size=3),
    "low clamp": replace(T, conv_clamp=1.0),
}
GRAY_LEVEL = 2 / 255


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def make(kind: str, size: float = 1.0) -> Generator:
    """Build a network with weights of any magnitude, which demodulation allows."""
    torch.manual_seed(0)
    network = Generator(KINDS[kind]).eval()
    for layer in map(network.synthesis.layer, network.synthesis.layer_names):
        nn.init.normal_(layer.bias, std=0.3)
        layer.magnitude_ema.fill_(0.6)
        if not layer.spec.is_torgb:
            layer.weight.mul_(size)
            layer.affine.bias.mul_(size)
    return network


def ws_for(network: Generator, batch: int) -> Tensor:
    return torch.randn(batch, network.num_ws, network.w_dim, generator=torch.Generator().manual_seed(1))


def run_prepared(network: Generator, ws: Tensor, dtype: torch.dtype) -> Tensor:
    synthesis = network.synthesis
    x = synthesis.input(ws[:, 0]).contiguous()
    for step in synthesis.steps[1:]:
        x = PreparedCudaLayer(synthesis.layer(step.name))(x.to(dtype), ws[:, step.w_indices[0]])
        assert x.dtype == dtype
    return x.float() * synthesis.output_scale


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_images_equal_those_without_the_fused_kernel(kind: str, batch: int) -> None:
    network = make(kind)
    ws = ws_for(network, batch)
    outputs, expected = run_prepared(network, ws, torch.float32), network.synthesis(ws)
    assert float((outputs - expected).abs().max()) <= 3e-5 * float(expected.abs().max())


@pytest.mark.parametrize("size", [1.0, 300.0])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["T", "R"])
def test_half_precision_is_within_a_gray_level_for_any_magnitude_of_weights(kind, dtype, batch, size) -> None:
    network = make(kind, size)
    ws = ws_for(network, batch)
    outputs, expected = run_prepared(network, ws, dtype), network.synthesis(ws)
    assert float((outputs - expected).abs().mean() / expected.abs().quantile(0.99)) < GRAY_LEVEL
