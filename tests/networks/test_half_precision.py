"""Networks in half precision, in the layers published so, differ from float32 by less than one gray level.

Plain torch on the CPU, with tensors stored as a GPU would store them: float16 with the published clamps, and bfloat16.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from reference_values import NAMES, network, reference, tensor
from torch import Tensor

from networks.architectures.layerwise import LayerwiseSynthesis, RunOptions, SynthesisState
from networks.architectures.stylegan2 import Generator as StyleGAN2
from networks.architectures.stylegan3 import Generator as StyleGAN3
from networks.config import StyleGAN2Config, StyleGAN3Config
from networks.sampling import draw_latents

HALVES = torch.float16, torch.bfloat16
GRAY_LEVEL = 2 / 255  # one gray level of images from -1 to 1
SMALL3 = StyleGAN3Config(
    img_resolution=64, z_dim=32, w_dim=32, mapping_num_layers=2, channel_base=2048, channel_max=64, num_fp16_res=4
)
GENERATORS = {
    "T": SMALL3,
    "R": replace(SMALL3, conv_kernel=1, use_radial_filters=True, channel_base=4096),
    "StyleGAN2": StyleGAN2Config(
        img_resolution=64, z_dim=32, w_dim=32, mapping_num_layers=2, channel_base=2048, channel_max=64, num_fp16_res=4
    ),
}


@dataclass(frozen=True)
class Stored(RunOptions):
    """Options that run the half-precision layers (or all, with `everywhere`) in `half`, on any device."""

    half: torch.dtype = torch.float16
    everywhere: bool = False

    def dtype(self, planned: torch.dtype, device: torch.device) -> torch.dtype:
        return self.half if self.everywhere or planned == torch.float16 else torch.float32


def run_image(synthesis: LayerwiseSynthesis, ws: Tensor, options: RunOptions) -> Tensor:
    state: SynthesisState | None = None
    for step in synthesis.steps:
        state = synthesis._advance(step, state, ws, options)
    assert state is not None
    return synthesis.to_image(state)


def gray_levels(synthesis: LayerwiseSynthesis, ws: Tensor, options: RunOptions) -> float:
    """Return the mean difference from float32, in gray levels of images scaled to fill the range from -1 to 1."""
    with torch.no_grad():
        exact, stored = run_image(synthesis, ws, RunOptions()), run_image(synthesis, ws, options)
    assert stored.isfinite().all()
    return float((stored - exact).abs().mean() / exact.abs().quantile(0.99)) / GRAY_LEVEL


@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("everywhere", [False, True], ids=["as published", "every layer"])
@pytest.mark.parametrize("name", GENERATORS)
def test_generators_in_half_precision_are_within_a_gray_level(name, half, everywhere):
    config = GENERATORS[name]
    torch.manual_seed(3)
    G = (StyleGAN3(config) if isinstance(config, StyleGAN3Config) else StyleGAN2(config)).eval()
    assert any(step.dtype == torch.float16 for step in G.synthesis.steps)
    z, _ = draw_latents([1, 2], config.z_dim)
    ws = G.mapping(z, None)
    assert gray_levels(G.synthesis, ws, Stored(half=half, everywhere=everywhere)) < 1


@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_published_networks_in_half_precision_are_within_a_gray_level(name, half):
    G, data = network(name).G_ema, reference(name)
    ws = tensor(data["ws"])
    assert gray_levels(G.synthesis, ws, Stored(half=half, everywhere=True)) < 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("name", ["R", "StyleGAN2"])
@pytest.mark.parametrize("gradients", [True, False])
def test_a_network_converted_to_another_dtype_makes_the_same_image(name, dtype, gradients):
    kind = StyleGAN3 if name == "R" else StyleGAN2
    torch.manual_seed(0)
    generator = kind(replace(GENERATORS[name], img_resolution=16, channel_max=16)).eval().requires_grad_(False)
    generator.mapping.w_avg.normal_()
    z = torch.randn(2, 32)
    with torch.set_grad_enabled(gradients):
        expected = generator(z, truncation_psi=0.7)
        converted = copy.deepcopy(generator).to(dtype)
        image = converted(z, truncation_psi=0.7)
        converted(z, update_emas=True)
    assert image.dtype == torch.float32
    tolerance = 1e-5 if dtype == torch.float64 else 1e-2  # float16 keeps 11 bits of each weight
    assert float((image - expected).abs().max() / expected.abs().max()) < tolerance
    assert all(buffer.isfinite().all() for buffer in converted.buffers())
