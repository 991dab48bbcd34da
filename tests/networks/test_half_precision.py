"""Networks in half precision, where the published plan has it, differ from float32 by less than one grey level.

Plain torch on the CPU, with tensors stored as a GPU would store them: float16 with the published clamps, and bfloat16.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from reference_values import NAMES, network, numbers, tensor
from torch import Tensor

from networks.architectures.layerwise import LayerwiseSynthesis, RunOptions, SynthesisState
from networks.architectures.stylegan2 import Generator as StyleGAN2
from networks.architectures.stylegan3 import Generator as StyleGAN3
from networks.config import StyleGAN2Config, StyleGAN3Config
from networks.sampling import draw_latents

HALVES = torch.float16, torch.bfloat16
GREY = 2 / 255  # one grey level, of pictures from -1 to 1
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
    """A pass that stores half of the layers (or all, with `everywhere`) as a GPU would, on any device."""

    half: torch.dtype = torch.float16
    everywhere: bool = False

    def dtype(self, planned: torch.dtype, device: torch.device) -> torch.dtype:
        return self.half if self.everywhere or planned == torch.float16 else torch.float32


def picture(synthesis: LayerwiseSynthesis, ws: Tensor, how: RunOptions) -> Tensor:
    state: SynthesisState | None = None
    for step in synthesis.steps:
        state = synthesis._advance(step, state, ws, how)
    assert state is not None
    return synthesis.to_image(state)


def grey_levels(synthesis: LayerwiseSynthesis, ws: Tensor, how: RunOptions) -> float:
    """How far a pass is from float32 on average, were pictures to fill the range from -1 to 1 as trained ones do."""
    with torch.no_grad():
        exact, stored = picture(synthesis, ws, RunOptions()), picture(synthesis, ws, how)
    assert stored.isfinite().all()
    return float((stored - exact).abs().mean() / exact.abs().quantile(0.99)) / GREY


@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("everywhere", [False, True], ids=["as published", "every layer"])
@pytest.mark.parametrize("name", GENERATORS)
def test_generators_in_half_precision_are_within_a_grey_level(name, half, everywhere):
    config = GENERATORS[name]
    torch.manual_seed(3)
    G = (StyleGAN3(config) if isinstance(config, StyleGAN3Config) else StyleGAN2(config)).eval()
    assert any(step.dtype == torch.float16 for step in G.synthesis.steps)
    z, _ = draw_latents([1, 2], config.z_dim)
    ws = G.mapping(z, None)
    assert grey_levels(G.synthesis, ws, Stored(half=half, everywhere=everywhere)) < 1


@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_published_networks_in_half_precision_are_within_a_grey_level(name, half):
    G, data = network(name).G_ema, numbers(name)
    ws = tensor(data["ws"])
    assert grey_levels(G.synthesis, ws, Stored(half=half, everywhere=True)) < 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("name", ["R", "StyleGAN2"])
@pytest.mark.parametrize("gradients", [True, False])
def test_a_network_moved_to_another_precision_makes_the_same_picture(name, dtype, gradients):
    kind = StyleGAN3 if name == "R" else StyleGAN2
    torch.manual_seed(0)
    generator = kind(replace(GENERATORS[name], img_resolution=16, channel_max=16)).eval().requires_grad_(False)
    generator.mapping.w_avg.normal_()
    z = torch.randn(2, 32)
    with torch.set_grad_enabled(gradients):
        expected = generator(z, truncation_psi=0.7)
        moved = copy.deepcopy(generator).to(dtype)
        made = moved(z, truncation_psi=0.7)
        moved(z, update_emas=True)
    assert made.dtype == torch.float32
    tolerance = 1e-5 if dtype == torch.float64 else 1e-2  # float16 keeps 11 bits of each weight
    assert float((made - expected).abs().max() / expected.abs().max()) < tolerance
    assert all(buffer.isfinite().all() for buffer in moved.buffers())
