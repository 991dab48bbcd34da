"""Prepared layers give the images of the path with gradients, and are never used after the weights have changed."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from prepared_networks import KINDS, make
from torch import Tensor, nn

from networks import load_network
from networks.architectures.activations import record_outputs
from networks.architectures.stylegan3 import Generator, SynthesisLayer
from networks.inference.prepared import PreparedInput
from networks.inference.torch_layer import PreparedTorchLayer
from ops.image_allocator import pixel_stride
from ops.kernels.cpu.synthesis_layer import SynthesisLayerCpu

ROOT = Path(__file__).parent.parent.parent


def layer_of(network: Generator, number: int) -> SynthesisLayer:
    return network.synthesis.layer(network.synthesis.layer_names[number])


def ws_for(network: Generator, batch: int = 1) -> Tensor:
    return torch.randn(batch, network.num_ws, network.w_dim, generator=torch.Generator().manual_seed(1))


def run_prepared(network: Generator, ws: Tensor) -> Tensor:
    with torch.no_grad():
        return network.synthesis(ws)


def run_plain(network: Generator, ws: Tensor) -> Tensor:
    """Run with gradients, so that prepared layers are not used."""
    with torch.enable_grad():
        return network.synthesis(ws).detach()


def assert_same(ours: Tensor, expected: Tensor, tolerance: float = 2e-5) -> None:
    """Assert a fifth of the tolerance that is promised; rounding near a leaky ReLU's zero may cause 1e-5."""
    assert float((ours - expected).abs().max()) <= tolerance * float(expected.abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 3])
def test_prepared_layers_make_the_images_of_the_path_with_gradients(kind: str, batch: int) -> None:
    network = make(kind)
    ws = ws_for(network, batch)
    assert_same(run_prepared(network, ws), run_plain(network, ws))


@torch.no_grad()
def test_feature_maps_stay_channels_last_from_layer_to_layer() -> None:
    for kind in ("T", "R", "many channels"):
        network = make(kind)
        rows = []
        network.synthesis.run(ws_for(network, 2), on_step=lambda _, state: rows.append(pixel_stride(state.x)))  # noqa: B023
        assert None not in rows


def scale_in_place(network: Generator) -> None:
    with torch.no_grad():
        layer_of(network, 3).weight[5] *= 3


def step_of_an_optimizer(network: Generator) -> None:
    optimizer = torch.optim.Adam(network.synthesis.parameters(), lr=0.1)
    network.synthesis(ws_for(network)).square().sum().backward()
    optimizer.step()


def load_other_weights(network: Generator) -> None:
    other = Generator(network.config)
    network.load_state_dict(other.state_dict())


def new_parameter(network: Generator) -> None:
    layer = layer_of(network, 5)
    layer.weight = nn.Parameter(torch.randn_like(layer.weight))


def new_bias(network: Generator) -> None:
    with torch.inference_mode():
        layer_of(network, 2).bias.fill_(1.0)


def other_filter(network: Generator) -> None:
    layer = layer_of(network, 9)
    assert layer.down_filter is not None
    layer.down_filter.copy_(layer.down_filter.roll(1))


def magnitude(network: Generator) -> None:
    network.synthesis(ws_for(network, 2), update_emas=True)


def moved_input(network: Generator) -> None:
    with torch.inference_mode():
        network.synthesis.input.transform[0, 2] = 0.25


def other_frequencies(network: Generator) -> None:
    network.synthesis.input.freqs.mul_(0.5)


def other_affine(network: Generator) -> None:
    with torch.no_grad():
        layer_of(network, 0).affine.weight.neg_()


CHANGES = [
    scale_in_place,
    step_of_an_optimizer,
    load_other_weights,
    new_parameter,
    new_bias,
    other_filter,
    magnitude,
    moved_input,
    other_frequencies,
    other_affine,
]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_show_in_the_next_image(change: Callable[[Generator], None]) -> None:
    network = make()
    ws = ws_for(network)
    before = run_prepared(network, ws)
    change(network)
    after = run_prepared(network, ws)
    assert not torch.equal(before, after)
    # This network clamps nearly everything, which amplifies rounding: both paths are 0.8e-5 from float64.
    assert_same(after, run_plain(network, ws), 2e-5)


def test_a_network_of_another_precision_is_computed_in_it() -> None:
    network = make()
    ws = ws_for(network)
    single = run_prepared(network, ws)
    network.double()
    with torch.no_grad():
        assert layer_of(network, 0).prepared.get(layer_of(network, 0)) is None
    network.float()
    assert_same(run_prepared(network, ws), single)


def test_a_copied_network_has_a_cache_of_its_own() -> None:
    network = make()
    ws = ws_for(network)
    before = run_prepared(network, ws)
    other = copy.deepcopy(network)
    scale_in_place(other)
    assert_same(run_prepared(other, ws), run_plain(other, ws))
    assert torch.equal(run_prepared(network, ws), before)
    assert not torch.equal(run_prepared(other, ws), before)
    file = io.BytesIO()
    torch.save(network, file)
    assert len(file.getvalue()) < 1.1 * 4 * sum(p.numel() for p in network.state_dict().values()) + 100_000


def test_a_layer_is_prepared_once_and_only_without_gradients() -> None:
    network = make()
    ws = ws_for(network)
    layer, first = layer_of(network, 0), network.synthesis.input
    assert layer.prepared.get(layer) is None
    with torch.no_grad():
        first_prepared = layer.prepared.get(layer)
        assert isinstance(first_prepared, SynthesisLayerCpu | PreparedTorchLayer)
        assert isinstance(first.prepared.get(first), PreparedInput)
        network.synthesis(ws)
        assert layer.prepared.get(layer) is first_prepared


def test_hooks_on_submodules_see_the_tensors_that_are_used() -> None:
    network = make()
    ws, name = ws_for(network), network.synthesis.layer_names[4]
    values: dict[str, Tensor] = {}
    with torch.no_grad(), record_outputs(network.synthesis, [name, f"{name}.affine"]) as seen:
        network.synthesis.run(ws, on_step=lambda step, state: values.update({step.name: state.x}))
    assert torch.equal(seen[name], values[name])
    assert seen[f"{name}.affine"].shape == (1, 24)


def test_a_network_loaded_under_inference_mode_is_prepared_too() -> None:
    """The renderer runs under inference_mode, whose tensors have no version counter; `load_network` makes others."""
    with torch.inference_mode():
        network = load_network(ROOT / "tests" / "data" / "networks" / "sg3t_64_uncond.pkl").generator
        assert isinstance(network, Generator)
        layer = network.synthesis.layer(network.synthesis.layer_names[0])
        assert isinstance(layer.prepared.get(layer), SynthesisLayerCpu | PreparedTorchLayer)
        ws = ws_for(network)
        before = network.synthesis(ws)
        layer.weight[0] *= 5
        after = network.synthesis(ws)
        assert not torch.equal(before, after)
    assert_same(after.clone(), run_plain(network, ws.clone()))


def test_without_the_kernel_prepared_layers_make_the_same_images() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/networks'); import test_prepared as t; from ops import kernels\n"
        "for kind in ('T', 'R'):\n"
        "    network = t.make(kind); ws = t.ws_for(network, 2)\n"
        "    t.assert_same(t.run_prepared(network, ws), t.run_plain(network, ws))\n"
        "assert kernels.active_backend() == 'plain torch'"
    )
    env = {**os.environ, "BANDLIMIT_KERNELS": "torch"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True)
