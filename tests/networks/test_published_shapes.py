"""Networks of the published configurations have the published tensors: names, shapes and initial values."""

from __future__ import annotations

import gzip
import json

import pytest
import torch
from reference_values import DATA

from networks.architectures import stylegan2, stylegan3
from networks.architectures.discriminator import Discriminator
from networks.config import DiscriminatorConfig, StyleGAN2Config, StyleGAN3Config
from networks.presets import preset

PUBLISHED = json.loads(gzip.decompress((DATA / "state_shapes.json.gz").read_bytes()))


def build(name: str) -> torch.nn.Module:
    options = PUBLISHED[name]["kwargs"]
    if name.startswith("stylegan3"):
        return stylegan3.Generator(StyleGAN3Config.from_nvidia_kwargs(options))
    if name.startswith("stylegan2"):
        return stylegan2.Generator(StyleGAN2Config.from_nvidia_kwargs(options))
    return Discriminator(DiscriminatorConfig.from_nvidia_kwargs(options))


@pytest.mark.parametrize("name", PUBLISHED)
def test_tensors_are_the_published_ones(name):
    with torch.device("meta"):
        network = build(name)
    ours = [[n, list(p.shape), "param"] for n, p in network.named_parameters()]
    ours += [[n, list(b.shape), "buffer"] for n, b in network.named_buffers()]
    published = [row[:3] for row in PUBLISHED[name]["tensors"]]
    assert sorted(ours) == sorted(published)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]["num_params"]
    if PUBLISHED[name]["num_ws"] is not None:
        assert network.num_ws == PUBLISHED[name]["num_ws"]


@pytest.mark.parametrize("name", ["stylegan3-r-512", "stylegan2-256-c10", "D-256-c10"])
def test_weights_start_as_the_published_ones_do(name):
    """Both are random draws: means and deviations of n values agree to a few times 1 / sqrt(n)."""
    torch.manual_seed(0)
    tensors = build(name).state_dict()
    for tensor_name, _, _, mean, std in PUBLISHED[name]["tensors"]:
        value = tensors[tensor_name].double()
        spread = 6 * std / value.numel() ** 0.5 + 1e-4 * max(abs(mean), std)
        exact = std == 0 or tensor_name.endswith(("filter", "affine.bias", "transform"))
        slack = 1e-3 * max(abs(mean), std, 1e-3) if exact else spread * 2**0.5
        assert abs(float(value.mean()) - mean) <= slack, tensor_name
        assert abs(float(value.std(unbiased=False)) - std) <= slack, tensor_name


def test_presets_are_the_published_networks():
    t, _ = preset("stylegan3-t", 1024)
    r, d = preset("stylegan3-r", 512)
    two, d256 = preset("stylegan2", 256, c_dim=10)
    for config, name in ((t, "stylegan3-t-1024"), (r, "stylegan3-r-512"), (two, "stylegan2-256-c10")):
        kind = StyleGAN3Config if isinstance(config, StyleGAN3Config) else StyleGAN2Config
        published = kind.from_nvidia_kwargs(PUBLISHED[name]["kwargs"])
        differing = {k for k, v in config.to_dict().items() if v != published.to_dict()[k]}
        assert differing <= {"magnitude_ema_beta"}
    assert isinstance(t, StyleGAN3Config)
    assert t.magnitude_ema_beta == pytest.approx(0.9988915792636801, rel=1e-12)  # batch 32
    assert d == DiscriminatorConfig(512)
    assert d256 == DiscriminatorConfig.from_nvidia_kwargs(PUBLISHED["D-256-c10"]["kwargs"])
    auto, small = preset("auto", 256)
    assert (auto.channel_base, small.channel_base, auto.mapping_num_layers) == (16384, 16384, 2)
    assert auto.w_avg_beta == 0.995
    assert preset("cifar", 32)[1].architecture == "orig"
