"""Convolution with up- or downsampling, as StyleGAN2 does between its blocks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ops.upfirdn2d import Padding, aligned_padding, check_filter, check_images, parse_padding, upfirdn2d


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """Upsample x with filter f, convolve with w, downsample with f.

    x [N,I,H,W], w [O,I/groups,k,k] -> [N,O,H',W']; `padding` is in samples of the upsampled image, relative to the
    aligned result. `flip_weight` True is correlation (as `torch.conv2d`), False true convolution; `flip_filter` is the
    opposite, as in `upfirdn2d`: False is true convolution. Raises ValueError for shapes that do not fit.
    """
    check_images(x, "conv2d_resample")
    check_filter(f, "conv2d_resample")
    if w.ndim != 4 or x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ValueError(
            f"conv2d_resample cannot convolve images {list(x.shape)} with weights {list(w.shape)} in "
            f"{groups} groups; the channels do not fit."
        )
    if not isinstance(up, int) or not isinstance(down, int) or up < 1 or down < 1:
        raise ValueError(f"conv2d_resample needs whole up and down from 1, not {up!r} and {down!r}.")
    kernel_height, kernel_width = w.shape[2:]
    if up == 1 and down == 1:
        return _conv(x, w, parse_padding(padding), 1, groups, flip_weight)
    x0, x1, y0, y1 = aligned_padding(f, padding, up=up, down=down)
    pointwise = kernel_height == kernel_width == 1

    if up == 1:
        if pointwise:  # downsample first: the convolution then has a quarter of the samples
            x = upfirdn2d(x, f, down=down, padding=[x0, x1, y0, y1], flip_filter=flip_filter)
            return _conv(x, w, (0, 0, 0, 0), 1, groups, flip_weight)
        x = upfirdn2d(x, f, padding=[x0, x1, y0, y1], flip_filter=flip_filter)
        return _conv(x, w, (0, 0, 0, 0), down, groups, flip_weight)

    # Filter and convolution commute, so convolve before upsampling, at the lower rate.
    if pointwise:
        x = _conv(x, w, (0, 0, 0, 0), 1, groups, flip_weight)
        x = upfirdn2d(x, f, up=up, padding=[x0, x1, y0, y1], flip_filter=flip_filter, gain=up**2)
    else:
        x = _conv_transposed(x, w, up, groups, flip_weight)
        # This computed every output the weights reach, but not the up - 1 zeros after the last sample.
        pad_x0, pad_y0 = x0 - (kernel_width - 1), y0 - (kernel_height - 1)
        pad_x1, pad_y1 = x1 - (kernel_width - up), y1 - (kernel_height - up)
        x = upfirdn2d(x, f, padding=[pad_x0, pad_x1, pad_y0, pad_y1], flip_filter=flip_filter, gain=up**2)
    return upfirdn2d(x, f, down=down, flip_filter=flip_filter) if down > 1 else x


def _conv(
    x: Tensor, w: Tensor, padding: tuple[int, int, int, int], stride: int, groups: int, flip_weight: bool
) -> Tensor:
    if not flip_weight:
        w = w.flip([2, 3])
    x0, x1, y0, y1 = padding
    if x0 == x1 >= 0 and y0 == y1 >= 0:
        return F.conv2d(x, w, stride=stride, padding=[y0, x0], groups=groups)
    return F.conv2d(F.pad(x, [x0, x1, y0, y1]), w, stride=stride, groups=groups)


def _conv_transposed(x: Tensor, w: Tensor, up: int, groups: int, flip_weight: bool) -> Tensor:
    if flip_weight:
        w = w.flip([2, 3])
    per_group = w.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    return F.conv_transpose2d(x, per_group, stride=up, groups=groups)
