"""A layer of a 1024-pixel network takes memory in proportion to its output, not to the raised signal within; and the
memory of a picture is given to another one when nobody holds it any more, not before."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from ops import image_allocator
from ops.image_allocator import empty_image, empty_padded_image

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


@pytest.fixture
def fresh():
    """No memory is kept from what ran before."""
    gc.collect()
    image_allocator.release()
    yield
    gc.collect()
    image_allocator.release()


SIZE = 1, 24, 150, 151  # 2.2 MB


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("size", [SIZE, (2, 3, 5, 4), (1, 1, 1, 1)])
def test_a_picture_has_its_size_and_keeps_its_channels_together(size):
    made = empty_image(size)
    assert made.shape == size and made.dtype == torch.float32
    assert made.is_contiguous(memory_format=torch.channels_last) and made.data_ptr() % 16 == 0
    assert float(made.fill_(3.0).sum()) == 3 * made.numel()


@pytest.mark.usefixtures("fresh")
def test_memory_is_used_again_when_no_tensor_shares_it_any_more():
    first = empty_image(SIZE).fill_(1.0)
    place, row, numbers = first.data_ptr(), first[0, :, 70], first.numpy()
    del first
    assert empty_image(SIZE).fill_(2.0).data_ptr() != place, "a view is still there"
    del row
    assert empty_image(SIZE).fill_(2.0).data_ptr() != place, "an array is still there"
    assert float(numbers.min()) == float(numbers.max()) == 1.0
    del numbers
    gc.collect()
    assert place in {empty_image(SIZE).data_ptr(), *(p.data_ptr() for p in [empty_image(SIZE) for _ in range(3)])}


@pytest.mark.usefixtures("fresh")
def test_a_small_picture_does_not_hold_a_large_ones_memory():
    large = [empty_image((1, 64, 300, 300)) for _ in range(2)]  # 23 MB each
    places = {one.data_ptr() for one in large}
    large.clear()
    small = empty_image(SIZE)
    again = [empty_image((1, 64, 290, 300)) for _ in range(2)]
    assert {one.data_ptr() for one in again} == places
    assert small.data_ptr() not in places


@pytest.mark.usefixtures("fresh")
def test_a_picture_that_is_soon_gone_makes_do_with_a_large_ones_memory():
    large = empty_image((1, 64, 300, 300))
    place = large.data_ptr()
    del large
    assert empty_padded_image(SIZE, short_lived=True)[0].data_ptr() == place


@pytest.mark.usefixtures("fresh")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory from Linux")
def test_little_is_kept_and_all_of_it_can_be_given_back(monkeypatch):
    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    monkeypatch.setattr(image_allocator, "MAX_FREE_BYTES", 60 << 20)
    before = resident()
    many = [empty_image((1, 64, 300, 300)).zero_() for _ in range(8)]
    assert resident() - before > 8 * 21
    many.clear()
    assert resident() - before < 80
    growing = [empty_image((1, 64, 100 * n, 100)).zero_().numel() * 4 >> 20 for n in range(1, 12)]
    assert resident() - before < 20 + 2 * max(growing), "what does not fit any more is not kept beside what does"
    image_allocator.release()
    assert resident() - before < 20


@pytest.mark.usefixtures("fresh")
def test_several_threads_never_share_a_picture():
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            made = empty_image(SIZE).fill_(number)
            held = made[:, :, ::10]
            del made
            if not bool((held == number).all()):
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
