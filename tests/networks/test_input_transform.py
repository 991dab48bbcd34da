"""Moving a network's input moves its images, in training too, and leaves the network as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from networks.architectures import stylegan2, stylegan3
from networks.architectures.input_transform import transformed_input
from networks.config import StyleGAN2Config, StyleGAN3Config

CONFIG2 = StyleGAN2Config(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8)
CONFIG3 = StyleGAN3Config(16, num_layers=4, z_dim=8, w_dim=8, channel_base=64, channel_max=8)
QUARTER_RIGHT = np.array([[1, 0, 0.25], [0, 1, 0], [0, 0, 1.0]])


def test_the_constant_of_stylegan2_moves_the_way_that_the_image_should() -> None:
    synthesis = stylegan2.SynthesisNetwork(CONFIG2)
    constant = synthesis.block(4).const
    assert constant is not None
    before = constant.detach().clone()
    with transformed_input(synthesis, QUARTER_RIGHT):
        assert torch.allclose(constant[:, :, 1:], before[:, :, :3], atol=1e-6), "one cell of four to the right"
        assert torch.allclose(constant[:, :, 0], before[:, :, 0], atol=1e-6)
    assert torch.equal(constant, before)


def test_gradients_are_those_of_the_moved_image_even_after_the_move_has_ended() -> None:
    torch.manual_seed(0)
    synthesis = stylegan3.SynthesisNetwork(CONFIG3)
    layer, w = synthesis.input, torch.randn(2, 8)
    nn.init.normal_(layer.affine.weight)

    def gradient(transform: torch.Tensor | None) -> torch.Tensor:
        layer.zero_grad()
        if transform is None:
            with transformed_input(synthesis, QUARTER_RIGHT):
                features = layer(w)
        else:
            layer.transform = transform
            features = layer(w)
            layer.transform = torch.eye(3)
        features.square().sum().backward()
        grad = layer.affine.weight.grad
        assert grad is not None
        return grad.clone()

    expected = gradient(torch.linalg.inv(torch.from_numpy(QUARTER_RIGHT)).float())
    assert torch.equal(gradient(None), expected)
    assert torch.equal(layer.transform, torch.eye(3))


def test_without_gradients_the_transform_keeps_its_address_as_recorded_graphs_read_it_there() -> None:
    synthesis = stylegan3.SynthesisNetwork(CONFIG3)
    address = synthesis.input.transform.data_ptr()
    with torch.no_grad(), transformed_input(synthesis, QUARTER_RIGHT):
        assert synthesis.input.transform.data_ptr() == address
        assert synthesis.input.transform[0, 2] == -0.25
    assert torch.equal(synthesis.input.transform, torch.eye(3))


def test_a_network_without_an_input_that_moves_is_refused_in_a_sentence() -> None:
    with pytest.raises(TypeError, match="Linear has no input"), transformed_input(nn.Linear(2, 2), np.eye(3)):
        pass
