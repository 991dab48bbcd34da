"""A layer of a 1024-pixel network takes memory in proportion to its output, not to the raised signal within."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# The largest layer (L11) of the published 1024-pixel networks. The raised signal is 0.85 GB in T and 1.7 GB in R; a
# block of it and what is made from it may take 150 MB. The gradient holds two blocks, and is taken of 20 channels
# (335 MB) to be quick. VmHWM is the process's highest memory so far.
LAYER = """
import sys, torch, ops
kind, direction = sys.argv[1:]

def highest():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))

torch.set_num_threads(2)
channels, size, pad = (51, 1046, [9, 8, 9, 8]) if kind == "T" else (102, 1044, [11, 10, 11, 10])
fu = ops.design_lowpass_filter(12, 362, 299, 2048)
fd = ops.design_lowpass_filter(12, 362, 299, 2048, radial=kind == "R")
backward = direction == "backward"
if backward:
    channels = 20

def layer(x):
    return ops.filtered_lrelu(x, fu, fd, torch.ones(x.shape[1]), 2, 2, pad, clamp=256)

def empty(*shape):
    return torch.empty(shape, memory_format=torch.channels_last)

warm = layer(empty(1, 16, 40, 40).uniform_(-1, 1).requires_grad_(backward))
if backward:
    warm.sum().backward()
x = empty(1, channels, size, size).uniform_(-1, 1).requires_grad_(backward)
results = channels * 1044**2 * 4 / 2**20
if backward:
    cotangent = empty(1, channels, 1044, 1044).uniform_(-1, 1)
    results *= 2  # the output and the gradient
before = highest()
y = layer(x)
if backward:
    torch.autograd.grad(y, x, cotangent)
print(highest() - before - results)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the highest memory from Linux")
@pytest.mark.parametrize(("kind", "direction"), [("T", "forward"), ("R", "forward"), ("T", "backward")])
def test_a_layer_of_1024_pixels_needs_little_beyond_its_result(kind, direction):
    done = subprocess.run(
        [sys.executable, "-c", LAYER, kind, direction], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < (200 if direction == "backward" else 150)
