"""Seeds, classes, noise and bytes follow one rule everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from networks.architectures.mapping import build_mapping
from networks.config import StyleGAN2Config
from networks.sampling import (
    blend_seeds,
    draw_latent,
    draw_latents,
    seeded_noise,
    to_class_vectors,
    to_uint8,
)

CONDITIONAL = StyleGAN2Config(16, z_dim=8, w_dim=6, c_dim=5, mapping_num_layers=2)


def test_a_seed_draws_z_and_then_its_class():
    stream = np.random.RandomState(1234)
    z, index = stream.randn(512).astype(np.float32), stream.randint(10)
    ours, ours_index = draw_latent(1234, 512, 10)
    assert np.array_equal(ours, z)
    assert ours_index == index
    batch, classes = draw_latents([0, 1234], 512, 10)
    assert classes is not None
    assert torch.equal(batch[1], torch.from_numpy(z))
    assert classes[1].tolist() == [float(i == index) for i in range(10)]
    assert draw_latents([0], 8)[1] is None


def test_seeds_beyond_32_bits_wrap_around():
    assert np.array_equal(draw_latent(2**32 + 5, 8)[0], draw_latent(5, 8)[0])
    assert np.array_equal(draw_latent(-1, 8)[0], draw_latent(2**32 - 1, 8)[0])


def test_a_class_may_be_an_index_or_a_mixture():
    two = [0.0, 0.0, 1.0]
    assert to_class_vectors(2, 3, 2).tolist() == [two, two]
    assert to_class_vectors(torch.tensor([2]), 3, 2).tolist() == [two, two]
    assert to_class_vectors([2, 0], 3, 2).tolist() == [two, [1.0, 0.0, 0.0]]
    soft = torch.tensor([[0.5, 0.5, 0.0]])
    assert torch.equal(to_class_vectors(soft, 3, 2), soft.expand(2, -1))
    for wrong, sentence in (
        (3, "no class 3; this network has classes 0 to 2"),
        ([0, 1, 2], "must be 2 whole numbers"),
        (torch.ones(2, 4), r"shape \[2, 4\], but must be \[2, 3\]"),
        (torch.tensor([0.5, 0.5]), "whole numbers"),
    ):
        with pytest.raises(ValueError, match=sentence):
            to_class_vectors(wrong, 3, 2)
    with pytest.raises(ValueError, match="no classes"):
        to_class_vectors(0, 0, 1)


@torch.no_grad()
def test_seeds_are_blended_in_w_and_each_keeps_its_class():
    torch.manual_seed(0)
    mapping = build_mapping(CONDITIONAL)
    z, c = draw_latents([7, 8], 8, 5)
    one, two = mapping(z[:1], c[:1] if c is not None else None), mapping(z[1:], c[1:] if c is not None else None)
    assert torch.equal(blend_seeds(mapping, [(7, 1.0)]), one)
    torch.testing.assert_close(blend_seeds(mapping, [(7, 0.75), (8, 0.25)]), 0.75 * one + 0.25 * two)
    given = to_class_vectors(3, 5, 1)
    assert torch.equal(blend_seeds(mapping, [(7, 1.0)], given), mapping(z[:1], given))
    with pytest.raises(ValueError, match="no seeds"):
        blend_seeds(mapping, [])


@torch.no_grad()
def test_truncation_pulls_the_first_layers_to_the_average():
    torch.manual_seed(0)
    mapping = build_mapping(CONDITIONAL)
    mapping.w_avg.copy_(torch.randn(6))
    z, c = draw_latents([1, 2], 8, 5)
    ws = mapping(z, c)
    assert ws.shape == (2, CONDITIONAL.num_ws, 6)
    torch.testing.assert_close(mapping(z, c, truncation_psi=0), mapping.w_avg.expand_as(ws))
    torch.testing.assert_close(mapping(z, c, truncation_psi=-1), 2 * mapping.w_avg - ws)
    half = mapping(z, c, truncation_psi=0.5, truncation_cutoff=2)
    assert torch.equal(half[:, 2:], ws[:, 2:])
    torch.testing.assert_close(half[:, :2], 0.5 * (ws[:, :2] + mapping.w_avg))
    assert torch.equal(mapping(z, c, truncation_psi=0.5, truncation_cutoff=0), ws)
    assert torch.equal(mapping(z, c, truncation_psi=0.5, truncation_cutoff=99), mapping(z, c, truncation_psi=0.5))


@torch.no_grad()
def test_a_soft_class_lies_between_its_classes():
    torch.manual_seed(0)
    mapping = build_mapping(CONDITIONAL)
    z = draw_latents([1], 8, 5)[0]
    pure = [mapping(z, to_class_vectors(i, 5, 1)) for i in (0, 1)]
    soft = mapping(z, torch.tensor([[0.999, 0.001, 0, 0, 0]]))
    assert not torch.equal(pure[0], pure[1])
    assert float((soft - pure[0]).norm()) < 0.1 * float((pure[1] - pure[0]).norm())


def test_noise_of_a_seed_depends_on_the_layer_and_on_nothing_else():
    draw = seeded_noise(5)
    first = draw("b8.conv0", (1, 1, 8, 8))
    draw("b16.conv0", (3, 1, 16, 16))
    assert torch.equal(draw("b8.conv0", (1, 1, 8, 8)), first)
    assert torch.equal(draw("b8.conv0", (4, 1, 8, 8))[:1], first)
    assert not torch.equal(draw("b8.conv1", (1, 1, 8, 8)), first)
    assert not torch.equal(seeded_noise(6)("b8.conv0", (1, 1, 8, 8)), first)
    large = draw("b8.conv0", (1, 1, 512, 512))
    assert abs(float(large.mean())) < 0.01
    assert float(large.std()) == pytest.approx(1, abs=0.01)


def test_bytes_are_clamped_and_rounded_down():
    values = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 64, 128, 191, 255, 255]
