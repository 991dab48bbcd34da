"""Layers prepared for plain torch equal the path with gradients, and need little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from prepared_networks import KINDS, make

from networks.inference.torch_layer import PreparedTorchLayer

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_layer_equals_its_path_with_gradients(kind: str, batch: int) -> None:
    network = make(kind).synthesis
    for layer in map(network.layer, network.layer_names):
        x = torch.randn(batch, layer.spec.in_channels, layer.spec.in_size, layer.spec.in_size)
        w = torch.randn(batch, 8)
        expected = layer(x, w).detach()
        with torch.no_grad():
            prepared = PreparedTorchLayer(layer)
            outputs = prepared(x, w)
            assert torch.equal(prepared(x, w), outputs)
        assert outputs.shape == expected.shape
        assert outputs.is_contiguous(memory_format=torch.channels_last)
        assert float((outputs - expected).abs().max()) < 1e-5 * float(expected.abs().max())


def test_images_of_a_batch_do_not_influence_each_other() -> None:
    network = make("many channels").synthesis
    layer = network.layer(network.layer_names[2])
    x, w = torch.randn(3, layer.spec.in_channels, layer.spec.in_size, layer.spec.in_size), torch.randn(3, 8)
    with torch.no_grad():
        prepared = PreparedTorchLayer(layer)
        outputs = prepared(x, w)
        for n in range(3):
            one = prepared(x[n : n + 1], w[n : n + 1])[0]
            assert float((one - outputs[n]).abs().max()) < 1e-6 * float(outputs[n].abs().max())


# The largest layer of a 1024-pixel network with enough channels for Winograd convolution: its output is 145 MB.
LAYER = """
import torch
from networks.config import StyleGAN3Config
from networks.inference.torch_layer import PreparedTorchLayer
from networks.architectures.stylegan3 import SynthesisNetwork

def highest():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))

torch.set_num_threads(2)
config = StyleGAN3Config(img_resolution=512, w_dim=8, channel_base=65536, channel_max=128)
network = SynthesisNetwork(config).eval().requires_grad_(False)
with torch.inference_mode():
    small, layer = network.layer(network.layer_names[0]), network.layer(network.layer_names[11])
    assert layer.spec.in_size == 532 and min(layer.weight.shape[:2]) == 128, layer.spec
    w = torch.zeros(1, 8)
    PreparedTorchLayer(small)(torch.zeros(1, small.spec.in_channels, small.spec.in_size, small.spec.in_size), w)
    x = torch.empty(1, 128, 532, 532, memory_format=torch.channels_last).uniform_(-1, 1)
    prepared = PreparedTorchLayer(layer)
    before = highest()
    prepared(x, w)
    print(highest() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the highest memory from Linux")
def test_a_layer_needs_little_memory_beyond_input_and_output() -> None:
    done = subprocess.run([sys.executable, "-c", LAYER], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 450  # what passes from convolution to filter, the output, and a block of each
