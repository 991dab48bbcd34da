"""A layer in one call says what does not fit it, and its result does not depend on threads or on what is beside it.

That it makes the pictures of the plain path is in tests/networks/test_plan.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from naive_resampling import relative_error

from ops.filtered_lrelu import LeakyReluClamp, resamplers
from ops.image_allocator import empty_padded_image, pixel_stride
from ops.kernels.cpu.convolution import ConvolutionCpu
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCpu
from ops.kernels.cpu.synthesis_layer import SynthesisLayerCpu

pytestmark = pytest.mark.usefixtures("kernel")


def make(side: int = 3, inside: int = 70, results: int = 40, size: int = 20, taps: int = 12) -> SynthesisLayerCpu:
    return SynthesisLayerCpu(*parts(side, inside, results, size, taps))


def parts(side: int, inside: int, results: int, size: int, taps: int = 12) -> Any:
    """What a layer is made of."""
    f = torch.rand(taps) / taps
    like = torch.empty(1, 1, *2 * [size + side - 1])
    raise_, lower = resamplers(like, f, f, 2, 2, (10, 10, 10, 10), 1.4)
    fused, convolve = (
        FilteredLreluCpu(raise_, lower, LeakyReluClamp(0.2, 256.0)),
        ConvolutionCpu(torch.randn(results, inside, side, side)),
    )
    squares = torch.rand(results, inside)
    return convolve, fused, torch.randn(inside, 8), torch.randn(inside), squares, torch.randn(results), side - 1


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize(("inside", "results", "size"), [(70, 40, 20), (17, 3, 36), (600, 520, 9)])
def test_neither_threads_nor_other_pictures_change_a_bit(side, inside, results, size):
    layer = make(side, inside, results, size)
    x, w = torch.randn(3, inside, size, size), torch.randn(3, 8)
    torch.set_num_threads(1)
    made = layer(x, w)
    assert pixel_stride(made) is not None and bool(made.isfinite().all())
    for threads in (2, 3, 5):
        torch.set_num_threads(threads)
        assert torch.equal(layer(x, w), made)
    for n in range(3):
        assert torch.equal(layer(x[n : n + 1], w[n : n + 1]), made[n : n + 1])


def test_pictures_in_any_memory():
    layer, x, w = make(), torch.randn(1, 70, 20, 20), torch.randn(1, 16)
    expected = layer(x, w[:, ::2].contiguous())
    assert torch.equal(layer(x.contiguous(memory_format=torch.channels_last), w[:, ::2]), expected)
    assert torch.equal(layer(x.transpose(2, 3).contiguous().transpose(2, 3), w[:, ::2]), expected)


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize(("inside", "results"), [(94, 47), (300, 227)])
def test_room_between_pixels_changes_no_bit(side, inside, results):
    """What lies in the room is never seen, and large pictures are those that the parts make one by one without it."""
    convolve, fused, affine, affine_bias, squares, bias, padding = parts(side, inside, results, 110)
    layer = SynthesisLayerCpu(convolve, fused, affine, affine_bias, squares, bias, padding)
    x, w = torch.randn(2, inside, 110, 110), torch.randn(2, 8)
    expected = layer(x, w)
    styles = w @ affine.T + affine_bias
    demodulation = (styles.square() @ squares.T).rsqrt()
    by_parts = fused(convolve(x, styles, padding=padding), bias, demodulation)
    assert relative_error(expected, by_parts) < 1e-5
    with_room, row = empty_padded_image(x.shape)
    assert row > inside and row == pixel_stride(with_room)
    with_room.as_strided((2, row, 110, 110), with_room.stride()).fill_(torch.nan)
    assert torch.equal(layer(with_room.copy_(x), w), expected)
    assert expected.stride(3) > results and pixel_stride(expected) == expected.stride(3)


def test_what_does_not_fit_is_refused():
    layer, x, w = make(), torch.randn(1, 70, 20, 20), torch.randn(1, 8)
    for wrong in (x[:, :69], x[:, :, :19], x.double(), x[0]):
        with pytest.raises(ValueError, match="needs pictures"):
            layer(wrong, w)
    for wrong in (w[:, :7], torch.randn(2, 8), w.double()):
        with pytest.raises(ValueError, match="needs w"):
            layer(x, wrong)
    with pytest.raises(ValueError, match="no such filters"):
        make(taps=60, size=80)
    fused, convolve = (
        FilteredLreluCpu(*resamplers(x, None, None, 1, 1, 0, 1.0), LeakyReluClamp(1.0, None)),
        ConvolutionCpu(torch.randn(5, 70, 1, 1)),
    )
    with pytest.raises(ValueError, match="do not fit"):
        SynthesisLayerCpu(convolve, fused, torch.randn(69, 8), torch.randn(70), None, torch.randn(5), 0)
