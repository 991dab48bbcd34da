"""Losses and their gradients agree with the reference's (golden/training, stylegan3 at c233a919)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from recorded import DATA, Recorded, recorded_networks, tensor

from networks.architectures import stylegan2, stylegan3
from networks.architectures.discriminator import Discriminator
from networks.config import DiscriminatorConfig, StyleGAN2Config
from training.engine.keyed_rng import KeyedRng
from training.objectives.losses import PHASES, Batch, Losses, LossSettings, blur, blur_sigma, mix_styles, path_lengths

NETWORKS = ("sg2_32_uncond", "sg3r_32_uncond", "sg3t_64_uncond")
CASES = [(name, phase) for name in NETWORKS for phase in PHASES] + [("sg2_32_uncond", "Gmain_random_noise")]


@pytest.mark.parametrize(("name", "phase"), CASES)
def test_a_phases_losses_and_gradients_agree_with_the_reference(name: str, phase: str) -> None:
    """Measured: losses 5e-6, gradients 5e-6 (T: 1.3e-4), far under the 1e-4 and 1e-3 that the numbers' README allows.

    In T's path length leaky ReLUs of the first image flip, as the README warns: in float64 its length is 0.273541, of
    which the recorded number is 7e-4 off and ours 2e-4, from the thirteenth layer downwards; the other image has all
    digits in all three. So its length gets 2e-3 there, and gradients, which sum over both, 4e-3: on two processors
    they differ by 2.2e-3. The second image's own numbers get no such room.
    """
    data = np.load(DATA / "training" / f"loss_{name}.npz")
    flips = name.startswith("sg3t") and phase in ("Greg", "Gboth")
    given = json.loads(str(data["loss_kwargs"]))
    network = recorded_networks(name)
    assert network.G is not None and network.D is not None
    own, other = (network.G, network.D) if phase.startswith("G") else (network.D, network.G)
    other.requires_grad_(False)
    got: dict[str, list[torch.Tensor]] = {}
    random = "random" in phase
    settings = LossSettings(
        r1_gamma=given["r1_gamma"], pl_weight=given["pl_weight"], noise_mode="random" if random else "const"
    )
    losses = Losses(
        network.G, network.D, settings, report=lambda stat, values: got.setdefault(stat, []).append(values.detach())
    )
    losses.update_w_avg_always = False
    losses.pl_mean.fill_(float(data["pl_mean_initial"]))
    path_noise = data.get(f"{phase}/pl_noise_randn")
    layers = {key.rpartition("/")[2]: data[key] for key in data.files if key.startswith("Gmain_random_noise/draw")}
    real, real_c, z, c = (tensor(data[f"in/{key}"]) for key in ("real", "real_c", "z", "c"))
    gain = 1 if random else float(data[f"{phase}/gain"])
    losses.accumulate(
        phase.partition("_")[0], Batch(real, real_c, z, c, Recorded(path_noise, layers)), gain, images_done=0
    )

    prefix = f"{phase}/report/"
    expected = {key.removeprefix(prefix): data[key] for key in data.files if key.startswith(prefix)}
    assert got.keys() == expected.keys()
    for stat, values in expected.items():
        ours = torch.cat([part.flatten() for part in got[stat]]).numpy()
        values, atol = values.flatten(), 1e-4 * np.abs(values).max()
        if flips and len(values) == 2:  # one an image
            np.testing.assert_allclose(ours[0], values[0], rtol=2e-3, err_msg=stat)
            ours, values = ours[1:], values[1:]
        np.testing.assert_allclose(ours, values, rtol=1e-4, atol=atol, err_msg=stat)
    parameters = dict(own.named_parameters())
    names, norms, firsts = (data[f"{phase}/{key}"] for key in ("grad_names", "grad_norms", "grad_first4"))
    assert list(names) == list(parameters)
    tolerance = 4e-3 if flips else 1e-3
    for key, norm, first in zip(names, norms, firsts, strict=True):
        grad = parameters[key].grad
        grad = torch.zeros(4) if grad is None else grad.flatten()
        assert float(grad.norm()) == pytest.approx(norm, rel=tolerance, abs=1e-6), key
        np.testing.assert_allclose(
            grad[:4], first[: len(grad)], rtol=tolerance, atol=tolerance * max(norm, 1e-3), err_msg=key
        )
    if path_noise is not None:
        assert float(losses.pl_mean) == pytest.approx(float(data[f"{phase}/pl_mean_after"]), rel=1e-4)
    if f"{phase}/w_avg_after" in data:
        np.testing.assert_allclose(network.G.mapping.w_avg, data[f"{phase}/w_avg_after"], rtol=1e-5, atol=1e-6)
    if f"{phase}/magnitude_ema_after" in data:
        assert isinstance(network.G, stylegan3.Generator)
        ours = [network.G.synthesis.layer(n).magnitude_ema.item() for n in network.G.synthesis.layer_names]
        np.testing.assert_allclose(ours, data[f"{phase}/magnitude_ema_after"], rtol=1e-5)


def test_styles_mix_as_published() -> None:
    data = np.load(DATA / "training" / "loss_sg2_32_uncond.npz")
    mapping = recorded_networks("sg2_32_uncond").G.mapping  # type: ignore[union-attr]
    for i in (0, 1):
        ws, others = mapping(tensor(data["in/z"])), mapping(tensor(data[f"mix/{i}/z2"]))
        mixed = mix_styles(ws, others, torch.full([4], int(data[f"mix/{i}/cutoff"])))
        np.testing.assert_allclose(mixed.detach().mean(dim=2), data[f"mix/{i}/ws_mean_per_layer"], rtol=1e-4, atol=1e-6)


def test_each_image_mixes_at_a_place_of_its_own() -> None:
    ws, others = torch.zeros(3, 4, 1), torch.ones(3, 4, 1)
    assert mix_styles(ws, others, torch.tensor([1, 4, 2]))[:, :, 0].tolist() == [[0, 1, 1, 1], [0] * 4, [0, 0, 1, 1]]


def test_the_discriminators_blur_agrees_and_fades_as_published() -> None:
    data = np.load(DATA / "training" / "loss_sg3r_32_uncond.npz")
    for sigma, expected in zip(data["blur/sigma"], data["blur/y"], strict=True):
        np.testing.assert_allclose(blur(tensor(data["blur/x"]), float(sigma)), expected, rtol=1e-5, atol=1e-5)
    for images, sigma in zip(data["blur/schedule_nimg"], data["blur/schedule_sigma"], strict=True):
        assert blur_sigma(10, 200, int(images)) == pytest.approx(sigma, abs=1e-12)
    assert blur_sigma(10, 0, 0) == 0


def tiny() -> tuple[stylegan2.Generator, Discriminator]:
    torch.manual_seed(0)
    G = stylegan2.Generator(
        StyleGAN2Config(img_resolution=16, z_dim=8, w_dim=8, mapping_num_layers=2, channel_base=128, channel_max=8)
    )
    D = Discriminator(DiscriminatorConfig(16, channel_base=128, channel_max=8))
    return G.train(), D.train().requires_grad_(False)


def test_a_batch_in_two_micro_batches_gives_the_gradient_of_one() -> None:
    """Every draw belongs to an image, so it does not matter how a batch is cut (minibatch deviation apart: only D)."""
    gradients = []
    for micro_batches in ([range(8)], [range(4), range(4, 8)]):
        G, D = tiny()
        D.b4.mbstd = None
        D.b4.conv.weight = torch.nn.Parameter(D.b4.conv.weight[:, :-1], requires_grad=False)
        losses = Losses(G, D, LossSettings(style_mixing_prob=0.9))
        for samples in micro_batches:
            rng = KeyedRng(5, "Gmain", samples)
            real = torch.zeros(len(samples), 3, 16, 16)
            batch = Batch(real, real[:, :0, 0, 0], rng.normal("z", 8), real[:, :0, 0, 0], rng)
            losses.accumulate("Gmain", batch, 1 / len(micro_batches), 0)
        gradients.append([parameter.grad for parameter in G.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert one is not None
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)


def test_a_path_length_is_the_slope_of_the_image() -> None:
    """An image that is k times its only w has slope k * noise; checked by hand."""
    ws = torch.full([2, 1, 1], 0.3, requires_grad=True)
    noise = torch.ones(2, 1, 4, 4)
    images = 5 * ws[:, :, :, None].expand(-1, -1, 4, 4)
    assert path_lengths(images, ws, noise).tolist() == pytest.approx([5 * 16 / 4] * 2)
