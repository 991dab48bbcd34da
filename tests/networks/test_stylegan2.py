"""StyleGAN2 in all architectures: images of the right shape that depend on noise, w and class."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from networks.architectures.stylegan2 import Generator
from networks.config import StyleGAN2Config
from networks.sampling import seeded_noise

SMALL = StyleGAN2Config(img_resolution=16, z_dim=8, w_dim=8, mapping_num_layers=2, channel_base=128, channel_max=8)


def build(**options) -> Generator:
    torch.manual_seed(0)
    G = Generator(replace(SMALL, **options)).eval()
    with torch.no_grad():
        for name, value in G.named_parameters():
            if name.endswith("noise_strength"):
                value.fill_(0.5)
    return G


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_every_architecture_generates_images(architecture):
    G = build(architecture=architecture, img_channels=1)
    with torch.no_grad():
        image = G(torch.randn(2, 8))
    assert image.shape == (2, 1, 16, 16)
    assert G.num_ws == 6
    rgb = [step.name for step in G.synthesis.steps if step.is_torgb]
    assert rgb == (["b4.torgb", "b8.torgb", "b16.torgb"] if architecture == "skip" else ["b16.torgb"])
    assert ("b8.skip.weight" in dict(G.synthesis.named_parameters())) == (architecture == "resnet")


@torch.no_grad()
def test_an_empty_batch_gives_an_empty_batch_of_images():
    G = build().synthesis
    assert G(torch.empty(0, G.num_ws, 8)).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_each_step_reads_exactly_its_w_indices(architecture):
    G = build(architecture=architecture).synthesis
    ws = torch.randn(1, G.num_ws, 8)
    assert sorted({row for step in G.steps for row in step.w_indices}) == list(range(G.num_ws))
    with torch.no_grad():
        states = []
        G.run(ws, on_step=lambda _, state: states.append(state))
        for row in range(G.num_ws):
            other = ws.clone()
            other[:, row] += 1
            first = next(step for step in G.steps if row in step.w_indices)
            again = []
            G.run(other, on_step=lambda _, state: again.append(state))  # noqa: B023
            for step, a, b in zip(G.steps, states, again, strict=True):
                same = torch.equal(a.x, b.x) and (a.image is None or torch.equal(a.image, b.image))
                assert same == (step.index < first.index), (row, step.name)


def test_a_resnet_block_adds_both_paths_at_half_power():
    """With zero weights in conv1, the block returns its shortcut, scaled by sqrt(1/2)."""
    G = build(architecture="resnet", use_noise=False).synthesis
    ws = torch.randn(1, G.num_ws, 8)
    with torch.no_grad():
        block = G.block(8)
        block.conv1.weight.zero_()
        before = G.run(ws, stop=1)
        after = G.run(ws, stop=3)
        assert block.skip is not None
        torch.testing.assert_close(after.x, block.skip(before.x) * 0.5**0.5)


def test_noise_modes_are_constant_random_or_none():
    G = build()
    z = torch.randn(2, 8)
    with torch.no_grad():
        const = G(z, noise_mode="const")
        none = G(z, noise_mode="none")
        one, two = (G(z, noise_mode="random", noise=seeded_noise(seed)) for seed in (1, 2))
        assert torch.equal(const, G(z, noise_mode="const"))
        assert torch.equal(one, G(z, noise_mode="random", noise=seeded_noise(1)))
        assert not torch.equal(G(z, noise_mode="random"), G(z, noise_mode="random"))
    pictures = [const, none, one, two]
    assert all(not torch.equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i])


def test_a_network_built_without_noise_has_none():
    G = build(use_noise=False)
    z = torch.randn(1, 8)
    assert not any("noise" in name for name in G.state_dict())
    with torch.no_grad():
        assert torch.equal(G(z, noise_mode="random"), G(z, noise_mode="none"))


@pytest.mark.parametrize("fused", ["always", "never", "inference_only"])
def test_folding_styles_into_weights_does_not_change_the_image(fused):
    G, z = build(fused_modconv_default=fused), torch.ones(2, 8)
    with torch.no_grad():
        torch.testing.assert_close(G(z), build()(z), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(G.train()(z), build()(z), rtol=1e-4, atol=1e-5)


def test_wrong_shapes_are_refused_in_one_sentence():
    G = build(c_dim=3)
    z, c = torch.randn(2, 8), torch.eye(3)[:2]
    for arguments, what in (
        ((z, None), r"c is missing, but this network is conditional and reads class vectors \[N, 3\]"),
        ((z[:, :7], c), r"z has shape \[2, 7\], but this network reads \[N, 8\]"),
        ((z, torch.eye(3)), "z is for 2 pictures, but c for 3"),
    ):
        with pytest.raises(ValueError, match=what):
            G(*arguments)
    with pytest.raises(ValueError, match=r"ws has shape \[1, 5, 8\], but this network reads \[N, 6, 8\]"):
        G.synthesis(torch.randn(1, 5, 8))
    with pytest.raises(ValueError, match="noise_mode is 'loud', but must be one of const, random, none"):
        G(z, c, noise_mode="loud")
    with pytest.raises(ValueError, match=r"noise for b4.conv1 has shape \[2, 4, 4\]"):
        G(z, c, noise_mode="random", noise=lambda _name, _shape: torch.zeros(2, 4, 4))
    with pytest.raises(ValueError, match="no classes; leave c out"):
        build()(z, c)


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
@pytest.mark.parametrize("batch", [1, 3])
def test_prepared_convolutions_do_not_change_the_image(architecture, batch):
    """With gradients, nothing is prepared."""
    G = build(architecture=architecture).synthesis
    ws = torch.randn(batch, G.num_ws, 8)

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            quick = G(ws)
        with torch.enable_grad():
            plain = G(ws).detach()
        assert float((quick - plain).abs().max()) < 3e-5 * float(plain.abs().max())
        return quick, plain

    before, _ = both()
    with torch.no_grad():
        G.block(8).conv1.weight[2] *= 5
        G.block(16).conv1.affine.bias.neg_()
    after, _ = both()
    assert not torch.equal(before, after)
