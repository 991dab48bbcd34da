"""A layer of a 1024-pixel network takes memory in proportion to its output, not to its upsampled signal; and the memory
of an image is reused when no tensor shares it any more, not before."""

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

# The largest layer (L11) of the published 1024-pixel networks. The upsampled signal is 0.85 GB in T and 1.7 GB in R; a
# block of it, with intermediate results, may take 150 MB. The backward pass holds two blocks; it runs on 20 channels
# (335 MB) to be quick. VmHWM is the process's peak memory.
LAYER = """
import sys, torch, ops
kind, direction = sys.argv[1:]

def peak():
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
before = peak()
y = layer(x)
if backward:
    torch.autograd.grad(y, x, cotangent)
print(peak() - before - results)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux")
@pytest.mark.parametrize(("kind", "direction"), [("T", "forward"), ("R", "forward"), ("T", "backward")])
def test_a_layer_of_1024_pixels_needs_little_memory_beyond_its_result(kind, direction):
    done = subprocess.run(
        [sys.executable, "-c", LAYER, kind, direction], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < (200 if direction == "backward" else 150)


@pytest.fixture
def fresh():
    """Empty the buffer pool before and after a test."""
    gc.collect()
    image_allocator.release()
    yield
    gc.collect()
    image_allocator.release()


SIZE = 1, 24, 150, 151  # 2.2 MB


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("size", [SIZE, (2, 3, 5, 4), (1, 1, 1, 1)])
def test_an_image_has_its_size_and_is_channels_last(size):
    image = empty_image(size)
    assert image.shape == size and image.dtype == torch.float32
    assert image.is_contiguous(memory_format=torch.channels_last) and image.data_ptr() % 16 == 0
    assert float(image.fill_(3.0).sum()) == 3 * image.numel()


@pytest.mark.usefixtures("fresh")
def test_memory_is_reused_when_no_tensor_shares_it_any_more():
    first = empty_image(SIZE).fill_(1.0)
    address, view, array = first.data_ptr(), first[0, :, 70], first.numpy()
    del first
    assert empty_image(SIZE).fill_(2.0).data_ptr() != address, "a view is still there"
    del view
    assert empty_image(SIZE).fill_(2.0).data_ptr() != address, "an array is still there"
    assert float(array.min()) == float(array.max()) == 1.0
    del array
    gc.collect()
    assert address in {empty_image(SIZE).data_ptr(), *(p.data_ptr() for p in [empty_image(SIZE) for _ in range(3)])}


@pytest.mark.usefixtures("fresh")
def test_a_small_image_does_not_take_a_large_buffer():
    large = [empty_image((1, 64, 300, 300)) for _ in range(2)]  # 23 MB each
    addresses = {image.data_ptr() for image in large}
    large.clear()
    small = empty_image(SIZE)
    again = [empty_image((1, 64, 290, 300)) for _ in range(2)]
    assert {image.data_ptr() for image in again} == addresses
    assert small.data_ptr() not in addresses


@pytest.mark.usefixtures("fresh")
def test_a_short_lived_image_may_take_a_large_buffer():
    large = empty_image((1, 64, 300, 300))
    address = large.data_ptr()
    del large
    assert empty_padded_image(SIZE, short_lived=True)[0].data_ptr() == address


@pytest.mark.usefixtures("fresh")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory from Linux")
def test_little_free_memory_is_kept_and_all_of_it_can_be_released(monkeypatch):
    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    monkeypatch.setattr(image_allocator, "MAX_FREE_BYTES", 60 << 20)
    before = resident()
    many = [empty_image((1, 64, 300, 300)).zero_() for _ in range(8)]
    assert resident() - before > 8 * 21
    many.clear()
    assert resident() - before < 80
    growing = [empty_image((1, 64, 100 * n, 100)).zero_().numel() * 4 >> 20 for n in range(1, 12)]
    assert resident() - before < 20 + 2 * max(growing), (
        "buffers that do not fit any more are not kept beside those that do"
    )
    image_allocator.release()
    assert resident() - before < 20


@pytest.mark.usefixtures("fresh")
def test_threads_never_share_an_image():
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            image = empty_image(SIZE).fill_(number)
            view = image[:, :, ::10]
            del image
            if not bool((view == number).all()):
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
