"""The published-format networks give the images, latents, activations and logits of the reference implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference_values import ALIAS_FREE, NAMES, max_error, network, reference, tensor

from networks.architectures.activations import record_outputs, run_to_layer
from networks.sampling import draw_latents, to_uint8

every_network = pytest.mark.parametrize("name", NAMES)
IMAGE = 1e-4  # of the maximum; see reference_values


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@every_network
def test_a_seed_gives_the_published_latent(name):
    data = reference(name)
    z, c = draw_latents(data["seeds"].tolist(), data["z"].shape[1])
    assert np.array_equal(z.numpy(), data["z"])
    assert c is None


@every_network
def test_z_maps_to_the_published_w_with_and_without_truncation(name):
    mapping, data = network(name).G_ema.mapping, reference(name)
    z = tensor(data["z"])
    assert max_error(mapping.w_avg, data["w_avg"]) == 0
    assert max_error(mapping(z, None), data["ws"]) < 1e-5
    assert max_error(mapping(z, None, truncation_psi=0.6), data["ws_psi06"]) < 1e-5
    assert max_error(mapping(z, None, truncation_psi=0.6, truncation_cutoff=3), data["ws_psi06_cut3"]) < 1e-5


@every_network
def test_images_are_the_published_ones(name):
    net, data = network(name), reference(name)
    G, z = net.G_ema, tensor(data["z"])
    c = tensor(data["c"])  # [N, 0]: what scripts pass to an unconditional network
    image = G(z, c)
    assert image.dtype == torch.float32
    assert max_error(image, data["img"]) < IMAGE
    assert max_error(G(z[:2], None, truncation_psi=0.6), data["img_psi06"]) < IMAGE
    assert max_error(G(z[:1], None, truncation_psi=0.6, truncation_cutoff=3), data["img_psi06_cut3"]) < IMAGE
    assert max_error(net.G(z[:1], None), data["img_G_nonema"]) < IMAGE


@every_network
def test_bytes_are_the_published_ones(name):
    """Rounding may differ by one gray level, as the two images differ by about 1e-6."""
    data = reference(name)
    bytes_ = to_uint8(network(name).G_ema(tensor(data["z"]), None)).numpy()
    assert bytes_.dtype == np.uint8
    difference = np.abs(bytes_.astype(int) - data["img_u8"].astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3
    assert np.array_equal(to_uint8(tensor(data["img"])).numpy(), data["img_u8"])


@every_network
def test_every_layer_may_have_its_own_w(name):
    synthesis, data = network(name).G_ema.synthesis, reference(name)
    for ws, image in (("ws_mix", "img_mix"), ("ws_all_different", "img_all_different")):
        assert max_error(synthesis(tensor(data[ws])), data[image]) < IMAGE


@every_network
def test_forcing_float32_changes_nothing_on_a_cpu(name):
    synthesis, ws = network(name).G_ema.synthesis, tensor(reference(name)["ws"])[:1]
    assert torch.equal(synthesis(ws), synthesis(ws, force_fp32=True))


@every_network
def test_every_layer_of_the_generator_outputs_the_published_feature_map(name):
    synthesis, data = network(name).G_ema.synthesis, reference(name)
    ws = tensor(data["ws"])
    layers = [layer for layer in data["act_names"].tolist() if not layer.endswith("_out")]
    assert layers == [step.name for step in synthesis.steps]
    with record_outputs(synthesis, layers) as seen:
        synthesis(ws)
    for i, layer in enumerate(data["act_names"].tolist()):
        if layer.endswith(".x_out"):
            continue  # in architectures without shortcuts, the output of conv1
        if layer.endswith(".img_out"):
            activation = run_to_layer(synthesis, ws, layer.replace("img_out", "torgb"))
        else:
            activation = seen[layer]
            step = synthesis.step(layer)
            assert tuple(activation.shape[1:]) == (step.channels, step.size, step.size)
            assert torch.equal(run_to_layer(synthesis, ws, layer), activation) or step.is_torgb
        assert list(activation.shape) == data["act_shape"][i].tolist()
        assert max_error(activation[0, :4, :6, :6], data[f"act/{layer}"]) < IMAGE
        assert abs(float(activation.double().mean()) - data["act_mean"][i]) < 1e-4 * data["act_std"][i]
        assert float(activation.double().std(unbiased=False)) == pytest.approx(data["act_std"][i], rel=1e-4)


@every_network
def test_styles_are_the_published_ones(name):
    synthesis, data = network(name).G_ema.synthesis, reference(name)
    ws = tensor(data["ws"])
    for step in synthesis.steps:
        styles = synthesis.get_submodule(step.name).affine(ws[:, step.w_indices[0]])
        assert max_error(styles, data[f"affine/{step.name}"]) < 1e-5


@every_network
def test_logits_are_the_published_ones(name):
    D, data = network(name).D, reference(name)
    assert max_error(D(tensor(data["img"]), None), data["logits"]) < IMAGE
    mixed = [data[key] for key in ("img", "img_psi06", "img_psi06_cut3", "img_mix", "img_G_nonema")]
    assert max_error(D(tensor(np.concatenate(mixed)), None), data["logits8"]) < IMAGE


@every_network
def test_every_layer_of_the_discriminator_outputs_the_published_feature_map(name):
    D, data = network(name).D, reference(name)
    layers = data["D/act_names"].tolist()
    parts = [layer.removesuffix(".x_out") for layer in layers]
    with record_outputs(D, parts) as seen:
        D(tensor(data["img"]), None)
    for i, (layer, part) in enumerate(zip(layers, parts, strict=True)):
        corner = seen[part][0, :4, :6, :6] if seen[part].ndim == 4 else seen[part][:, :16]
        assert max_error(corner, data[f"D/act/{layer}"]) < IMAGE
        assert float(seen[part].double().std(unbiased=False)) == pytest.approx(data["D/act_std"][i], rel=1e-4)


@pytest.mark.parametrize("name", ALIAS_FREE)
def test_transforming_the_input_moves_the_image_as_published(name):
    synthesis, data = network(name).G_ema.synthesis, reference(name)
    ws = tensor(data["ws"])
    try:
        for key, count in (("transform", 2), ("zoom", 1)):
            matrix = data["transform"] if key == "transform" else data["transform_zoom"]
            synthesis.input.transform.copy_(torch.from_numpy(matrix))
            assert max_error(synthesis(ws[:count]), data[f"img_{key}"]) < IMAGE
            if key == "transform":
                features = run_to_layer(synthesis, ws, "input")
                assert max_error(features[0, :4, :6, :6], data["act_transformed/input"]) < IMAGE
    finally:
        synthesis.input.transform.copy_(torch.eye(3))


def test_noise_is_the_published_one():
    synthesis, data = network("sg2_32_uncond").G_ema.synthesis, reference("sg2_32_uncond")
    ws = tensor(data["ws"])
    asked = []

    def drawn(layer, shape):
        asked.append(layer)
        return tensor(data[f"noise_draw/{layer}"]).reshape(shape)

    assert max_error(synthesis(ws[:1], noise_mode="none"), data["img_noise_none"]) < IMAGE
    assert max_error(synthesis(ws[:2], noise_mode="random", noise=drawn), data["img_noise_random"]) < IMAGE
    assert asked == data["noise_layers"].tolist()


@pytest.mark.parametrize("name", ALIAS_FREE)
def test_alias_free_networks_have_no_noise(name):
    synthesis, ws = network(name).G_ema.synthesis, tensor(reference(name)["ws"])[:1]
    assert torch.equal(synthesis(ws, noise_mode="random"), synthesis(ws, noise_mode="const"))
