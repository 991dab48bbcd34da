"""Invalid arguments raise a ValueError of one clear sentence."""

from __future__ import annotations

import pytest
import torch

import ops
from ops import backends

x = torch.zeros(1, 3, 8, 8)
f = torch.ones(4)

MISTAKES = {
    "images of three dimensions": lambda: ops.upfirdn2d(x[0], f),
    "images of whole numbers": lambda: ops.upfirdn2d(x.int(), f),
    "a filter of three dimensions": lambda: ops.upfirdn2d(x, torch.ones(2, 2, 2)),
    "a filter without taps": lambda: ops.upfirdn2d(x, torch.ones(0)),
    "up of zero": lambda: ops.upfirdn2d(x, f, up=0),
    "up of a half": lambda: ops.upfirdn2d(x, f, up=1.5),  # type: ignore[arg-type]
    "three paddings": lambda: ops.upfirdn2d(x, f, padding=[1, 2, 3]),
    "nothing left": lambda: ops.upfirdn2d(x, f, padding=-4),
    "a short bias": lambda: ops.filtered_lrelu(x, f, f, torch.ones(2)),
    "a negative clamp": lambda: ops.filtered_lrelu(x, f, f, clamp=-1),
    "no gain": lambda: ops.filtered_lrelu(x, f, f, gain=0),
    "an unknown activation": lambda: ops.bias_act(x, act="lelu"),
    "a bias that does not fit": lambda: ops.bias_act(x, torch.ones(4)),
    "a dimension that is not there": lambda: ops.bias_act(x, torch.ones(4), dim=7),
    "weights for other channels": lambda: ops.conv2d_resample(x, torch.ones(2, 4, 3, 3)),
    "styles for another batch": lambda: ops.modulated_conv2d_stylegan2(x, torch.ones(2, 3, 1, 1), torch.ones(2, 3)),
    "an input gain that does not fit": lambda: ops.modulated_conv2d_stylegan3(
        x, torch.ones(2, 3, 1, 1), torch.ones(1, 3), input_gain=torch.ones(4)
    ),
    "an empty filter": lambda: ops.setup_filter([]),
    "a separable filter of two dimensions": lambda: ops.setup_filter([[1.0]], separable=True),
    "a filter of no taps": lambda: ops.design_lowpass_filter(0, 1, 1, 4),
    "a spectrum of one row": lambda: ops.power_spectrum(torch.zeros(8)),
    "a profile of a batch": lambda: ops.radial_profile(torch.zeros(2, 8, 8)),
    "a matrix without inverse": lambda: ops.warp.affine(x, [[1, 1, 0], [1, 1, 0], [0, 0, 1]]),
    "a matrix of another size": lambda: ops.warp.affine(x, [[1, 0], [0, 1]]),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_mistake_is_explained_in_one_sentence(mistake):
    with pytest.raises(ValueError) as caught:
        MISTAKES[mistake]()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("size", [(2, 0, 8, 8), (0, 3, 8, 8)])
def test_images_without_channels_and_empty_batches_are_accepted(size):
    with backends.force_torch():
        assert ops.filtered_lrelu(torch.zeros(size), f, f, None, 2, 2, 3).shape == (*size[:2], 8, 8)
    assert ops.filtered_lrelu(torch.zeros(size), f, f, None, 2, 2, 3).shape == (*size[:2], 8, 8)
