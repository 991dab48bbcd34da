"""The discriminator: every architecture, classes, frozen layers, and minibatch standard deviation."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from reference_values import max_error, reference, tensor

from networks.architectures.discriminator import Discriminator, MinibatchStd
from networks.config import DiscriminatorConfig

SMALL = DiscriminatorConfig(img_resolution=16, channel_base=128, channel_max=8, mapping_num_layers=2)
CASES = json.loads(str(reference("minibatch_std")["cases"]))


def build(**options) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(replace(SMALL, **options)).eval()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_minibatch_deviation_and_its_gradients_are_the_published_ones(case):
    data, place = reference("minibatch_std"), case["id"]
    layer = MinibatchStd(case["group_size"], case["num_channels"])
    x = tensor(data[f"{place}/x"]).requires_grad_(True)
    cot, direction = tensor(data[f"{place}/cot"]), tensor(data[f"{place}/dir_x"])
    y = layer(x)
    assert max_error(y, data[f"{place}/y"]) < 1e-5
    (grad,) = torch.autograd.grad((y * cot).sum(), x, retain_graph=True)
    assert max_error(grad, data[f"{place}/grad_x"]) < 1e-3
    (first,) = torch.autograd.grad(0.5 * (cot * y.square()).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad((first * direction).sum(), x)
    assert max_error(second, data[f"{place}/hvp_x"]) < 1e-3


def test_a_batch_that_does_not_divide_into_groups_is_refused():
    with pytest.raises(ValueError, match="batch of 6 does not divide into groups of 4"):
        build()(torch.randn(6, 3, 16, 16))


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
@pytest.mark.parametrize("c_dim", [0, 3])
@torch.no_grad()
def test_every_architecture_scores_images(architecture, c_dim):
    D = build(architecture=architecture, c_dim=c_dim, img_channels=1)
    images = torch.randn(4, 1, 16, 16)
    c = torch.eye(3)[[0, 1, 2, 0]] if c_dim else None
    logits = D(images, c)
    assert logits.shape == (4, 1)
    assert logits.isfinite().all()
    if c is not None:
        assert not torch.equal(logits, D(images, c.roll(1, dims=1))), "the class must matter"
    # Every part of the image influences the logit, in every architecture.
    for row, column in ((0, 0), (0, 15), (7, 8), (15, 0)):
        other = images.clone()
        other[0, 0, row, column] += 1
        assert not torch.equal(D(other, c)[0], logits[0])


@torch.no_grad()
def test_a_class_is_a_direction_of_the_features():
    """The logit is features . class / sqrt(length), with the class vector of the mapping network."""
    D = build(c_dim=3, mbstd_num_channels=0, cmap_dim=5)
    images, c = torch.randn(2, 3, 16, 16), torch.eye(3)[[1, 2]]
    seen = []
    D.b4.out.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    logits = D(images, c)
    assert seen[0].shape == (2, 5)
    assert D.mapping is not None
    expected = (seen[0] * D.mapping(None, c)).sum(dim=1, keepdim=True) / 5**0.5
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize(("architecture", "count"), [("resnet", 3), ("skip", 4), ("orig", 2), ("resnet", 100)])
def test_frozen_layers_keep_their_weights_as_buffers(architecture, count):
    """Layers are frozen from the image inwards: fromrgb, conv0, conv1, skip; the last block always trains."""
    trained, frozen = build(architecture=architecture), build(architecture=architecture, freeze_layers=count)
    order = [
        f"b{resolution}.{layer}"
        for resolution in (16, 8)
        for layer in ("fromrgb", "conv0", "conv1", "skip")
        if getattr(trained.get_submodule(f"b{resolution}"), layer) is not None
    ]
    assert {name.removesuffix(".weight") for name, _ in frozen.named_buffers() if name.endswith(".weight")} == set(
        order[:count]
    )
    assert set(frozen.state_dict()) == set(trained.state_dict())
    assert any(name.startswith("b4.") for name, _ in frozen.named_parameters())


def test_wrong_shapes_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"shape \[2, 3, 8, 8\], but this network reads \[N, 3, 16, 16\]"):
        build()(torch.randn(2, 3, 8, 8))
    with pytest.raises(ValueError, match="no classes; leave c out"):
        build()(torch.randn(2, 3, 16, 16), torch.eye(2))
    with pytest.raises(ValueError, match="c is missing"):
        build(c_dim=3)(torch.randn(2, 3, 16, 16))
    with pytest.raises(ValueError, match="There are 2 pictures, but classes for 3"):
        build(c_dim=3)(torch.randn(2, 3, 16, 16), torch.eye(3))
