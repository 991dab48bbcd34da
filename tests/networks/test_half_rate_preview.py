"""The preview of config R: the same weights, images of half the size, nearly the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from networks.architectures.stylegan3 import Generator, SynthesisNetwork
from networks.config import StyleGAN3Config
from networks.inference.half_rate_preview import FACTOR, make_preview
from ops import kernels

R = StyleGAN3Config(
    img_resolution=128,
    z_dim=8,
    w_dim=8,
    channel_base=2048,
    channel_max=48,
    conv_kernel=1,
    use_radial_filters=True,
)


@pytest.fixture(autouse=True)
def kernel() -> None:
    if not kernels.load(wait=True):
        pytest.skip(f"there is no C++ kernel: {kernels.unavailable_reason()}")


def make(config: StyleGAN3Config = R) -> SynthesisNetwork:
    torch.manual_seed(0)
    return Generator(config).eval().synthesis


def preview_network(synthesis: SynthesisNetwork) -> SynthesisNetwork:
    found = make_preview(synthesis)
    assert found is not None
    return found


def psnr(one: Tensor, other: Tensor) -> float:
    """Return the PSNR in dB, over the range of `other`."""
    return float(10 * torch.log10((other.max() - other.min()) ** 2 / (one - other).square().mean()))


@torch.no_grad()
def test_its_images_are_much_closer_than_a_shift_by_one_pixel():
    network = make()
    ws = torch.randn(2, network.num_ws, 8)
    exact, preview = network(ws), preview_network(network)(ws)
    assert preview.shape == (2, 3, 64, 64) and preview.dtype == torch.float32
    reduced, shifted = (F.avg_pool2d(image, FACTOR) for image in (exact, exact.roll(1, -1)))
    assert psnr(preview, reduced) > 40
    assert psnr(preview, reduced) > psnr(shifted, reduced) + 6


@torch.no_grad()
def test_it_follows_weights_and_transform_and_leaves_the_network_unchanged():
    network = make()
    preview, ws = preview_network(network), torch.randn(1, network.num_ws, 8)
    exact, before = network(ws), preview(ws)
    network.input.transform[0, 2] = 0.2
    moved = preview(ws)
    assert not torch.equal(moved, before)
    network.input.transform[0, 2] = 0
    assert torch.equal(preview(ws), before) and torch.equal(network(ws), exact)
    network.layer(network.layer_names[6]).weight[:, 2] *= 4  # of one output channel alone, demodulation would cancel it
    changed = preview(ws)
    assert not torch.equal(changed, before)
    assert psnr(changed, F.avg_pool2d(network(ws), FACTOR)) > 40
    assert [step.name for step in preview.steps] == [step.name for step in network.steps]


@torch.no_grad()
def test_it_resumes_with_the_bits_of_a_whole_run():
    preview = preview_network(make())
    ws = torch.randn(1, preview.num_ws, 8)
    whole = preview.run(ws)
    for stop in (1, 4, 9, 14):
        assert torch.equal(preview.run(ws, start=stop, state=preview.run(ws, stop=stop)).x, whole.x)


def test_configs_that_depend_on_the_grid_have_no_preview():
    assert make_preview(make(replace(R, conv_kernel=3, use_radial_filters=False))) is None
    assert make_preview(make(replace(R, img_resolution=16, num_layers=4, margin_size=2))) is None


def test_resolutions_that_are_no_power_of_two_have_no_preview():
    assert make_preview(make(replace(R, img_resolution=96))) is None
