"""StyleGAN3: its layers have the published rates, cutoffs and filters, for every configuration."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from reference_values import max_error, reference, tensor

from networks.architectures.stylegan3 import Generator, LayerSpec, SynthesisInput, SynthesisNetwork, layer_table
from networks.config import StyleGAN3Config

SPECS = json.loads(str(reference("sg3_layer_specs")["cases"]))
INPUTS = json.loads(str(reference("sg3_fourier_input")["cases"]))
SMALL = StyleGAN3Config(img_resolution=16, z_dim=8, w_dim=8, channel_base=64, channel_max=8)


def config_of(case: dict) -> StyleGAN3Config:
    return StyleGAN3Config(**{key: value for key, value in case.items() if key != "id"}, w_dim=32)


@pytest.mark.parametrize("case", SPECS, ids=lambda case: case["id"])
def test_the_layer_table_is_the_published_one(case):
    config, data, place = config_of(case), reference("sg3_layer_specs"), case["id"]
    first, table = layer_table(config)
    assert [spec.name for spec in table] == data[f"{place}/layer_names"].tolist()
    for field in fields(LayerSpec):
        if field.name != "name":
            ours = np.array([getattr(spec, field.name) for spec in table])
            np.testing.assert_allclose(ours, data[f"{place}/{field.name}"], rtol=1e-12, err_msg=field.name)
    rates = [first.sampling_rate, *(spec.out_sampling_rate for spec in table)]
    assert rates[:-1] == data[f"{place}/in_sampling_rate"].tolist()
    assert (first.size, first.channels) == (data[f"{place}/input_size"], data[f"{place}/input_channels"])
    assert first.sampling_rate == data[f"{place}/input_sampling_rate"]
    assert first.bandwidth == data[f"{place}/input_bandwidth"]
    assert config.num_ws == data[f"{place}/num_ws"]
    with torch.device("meta"):
        synthesis = SynthesisNetwork(config)
    assert sum(p.numel() for p in synthesis.parameters()) == data[f"{place}/param_count"]


@pytest.mark.parametrize("case", SPECS, ids=lambda case: case["id"])
def test_the_filters_are_the_published_ones(case):
    """With two feature maps per layer, as filters depend on the rates only."""
    data, place = reference("sg3_layer_specs"), case["id"]
    synthesis = SynthesisNetwork(replace(config_of(case), channel_base=2**15, channel_max=2))
    for i, name in enumerate(synthesis.layer_names):
        for side in ("up", "down"):
            taps = getattr(synthesis.layer(name), f"{side}_filter")
            taps = np.zeros(()) if taps is None else taps.double().numpy()
            assert taps.ndim == data[f"{place}/{side}_filter_ndim"][i]
            if taps.ndim:
                energy = float(np.square(taps).sum())
                assert energy == pytest.approx(data[f"{place}/{side}_filter_energy"][i], rel=1e-5)
                np.testing.assert_allclose(taps.reshape(-1)[:3], data[f"{place}/{side}_filter_first3"][i], atol=1e-7)


@pytest.mark.parametrize("case", INPUTS, ids=lambda case: case["id"])
def test_fourier_features_follow_the_transform(case):
    data, place = reference("sg3_fourier_input"), case["id"]
    layer = SynthesisInput(**{key: value for key, value in case.items() if key != "id"})
    names = {"weight", "transform", "freqs", "phases", "affine.weight", "affine.bias"}
    layer.load_state_dict({name: tensor(data[f"{place}/{name.replace('.', '_')}"]) for name in names})
    assert max_error(layer.affine(tensor(data[f"{place}/w"])), data[f"{place}/affine_out"]) < 1e-5
    assert max_error(layer(tensor(data[f"{place}/w"])), data[f"{place}/y"]) < 1e-5


def test_frequencies_start_spread_evenly_over_the_band():
    torch.manual_seed(0)
    layer = SynthesisInput(w_dim=4, channels=4096, size=8, sampling_rate=16, bandwidth=2.0)
    quantiles = np.quantile(layer.freqs.norm(dim=1).numpy(), np.linspace(0.1, 0.9, 9))
    # The reference drew about 1024 frequencies, so its quantiles are accurate to a few percent.
    published = reference("sg3_fourier_input")["init/freq_radius_quantiles"][1:-1]
    np.testing.assert_allclose(quantiles, published, rtol=0.05)
    assert layer.freqs.mean(dim=0).abs().max() < 0.06
    assert -0.5 <= layer.phases.min() < -0.49 and 0.49 < layer.phases.max() <= 0.5


def test_rotating_the_input_of_r_by_90_degrees_rotates_the_image():
    """With 1x1 convolutions and radial filters, only the two critically sampled layers depend on the axes, equally."""
    torch.manual_seed(0)
    synthesis = SynthesisNetwork(replace(SMALL, img_resolution=32, conv_kernel=1, use_radial_filters=True))
    ws = torch.randn(1, synthesis.num_ws, 8)
    with torch.no_grad():
        upright = synthesis(ws)
        synthesis.input.transform.copy_(torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))
        turned = synthesis(ws)
    difference = min(float((turned - upright.rot90(k, [2, 3])).abs().max()) for k in (1, 3))
    assert difference < 1e-4 * float(upright.abs().max())


def test_sizes_that_are_no_power_of_two_work():
    torch.manual_seed(0)
    G = Generator(replace(SMALL, img_resolution=48, num_layers=6, margin_size=5, img_channels=1))
    with torch.no_grad():
        image = G(torch.randn(2, 8))
    assert image.shape == (2, 1, 48, 48)
    assert image.isfinite().all() and image.std() > 0


@pytest.mark.parametrize("resolution", [20, 48, 100])
def test_sizes_that_are_no_power_of_two_have_the_published_rates(resolution):
    """Karras et al. 2021, Section 3.2: every sampling rate is a power of two, so layers resample by whole factors."""
    first, table = layer_table(replace(SMALL, img_resolution=resolution, num_layers=6))
    in_rate = first.sampling_rate
    for spec in table:
        assert spec.out_sampling_rate.bit_count() == 1
        assert in_rate * spec.up_factor == spec.tmp_sampling_rate
        assert spec.out_sampling_rate * spec.down_factor == spec.tmp_sampling_rate
        in_rate = spec.out_sampling_rate
    assert table[-1].out_sampling_rate == 2 ** (resolution - 1).bit_length()
    assert table[-1].out_size == resolution


def test_running_averages_are_updated_only_when_asked():
    torch.manual_seed(0)
    G = Generator(replace(SMALL, c_dim=2, magnitude_ema_beta=0.9, w_avg_beta=0.9)).train()
    z, c = torch.randn(4, 8), torch.eye(2).repeat(2, 1)
    before = {name: value.clone() for name, value in G.named_buffers()}
    with torch.no_grad():
        G(z, c)
        assert all(torch.equal(value, before[name]) for name, value in G.named_buffers())
        G(z, c, update_emas=True)
        w = G.mapping(z, c)[:, 0]
    changed = {name for name, value in G.named_buffers() if not torch.equal(value, before[name])}
    magnitudes = {f"synthesis.{name}.magnitude_ema" for name in G.synthesis.layer_names}
    assert changed == magnitudes | {"mapping.w_avg"}
    torch.testing.assert_close(G.mapping.w_avg, 0.1 * w.mean(dim=0))
