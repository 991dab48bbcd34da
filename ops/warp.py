"""Translate, rotate and warp images with high-quality filters, with a mask of the valid pixels.

Every function takes images [N,C,H,W] and returns them transformed, in x's dtype, with a boolean mask [H,W]: True where
a pixel depends on no sample outside the image. Karras et al. 2021 (StyleGAN3), Appendix E.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ops.upfirdn2d import check_images, filter2d, upfirdn2d

LANCZOS_A = 3  # the parameter a of the Lanczos windows: lobes on either side
OVERSAMPLING = 4  # samples per pixel, between which an affine warp interpolates bilinearly
MAX_RADIUS = 16  # largest filter radius in pixels; only strong minification would need more
PUBLISHED_RADIUS = 64  # pixels over which the published filter is summed numerically

Matrix = Sequence[Sequence[float]] | np.ndarray | Tensor


def translate_integer(x: Tensor, tx: float, ty: float) -> tuple[Tensor, Tensor]:
    """Translate by the nearest integer number of pixels; tx to the right in image widths, ty down in image heights."""
    check_images(x, "translate_integer")
    height, width = x.shape[2:]
    dx, dy = round(tx * width), round(ty * height)
    translated = upfirdn2d(x, None, padding=[dx, -dx, dy, -dy])
    return translated, _outer_product_mask(x, _valid_range(height, dy, 0, 0), _valid_range(width, dx, 0, 0))


def translate(x: Tensor, tx: float, ty: float) -> tuple[Tensor, Tensor]:
    """Translate by any amount with a Lanczos filter; tx to the right in image widths, ty down in image heights."""
    check_images(x, "translate")
    height, width = x.shape[2:]
    dx, dy = tx * width, ty * height
    taps = torch.from_numpy(np.outer(_lanczos_shift(dy), _lanczos_shift(dx)))
    floor_x, floor_y = math.floor(dx), math.floor(dy)
    padding = [floor_x + LANCZOS_A, LANCZOS_A - 1 - floor_x, floor_y + LANCZOS_A, LANCZOS_A - 1 - floor_y]
    translated = upfirdn2d(x, taps, padding=padding, flip_filter=True)
    rows, columns = (
        _valid_range(size, shift, LANCZOS_A, LANCZOS_A - 1) for size, shift in ((height, floor_y), (width, floor_x))
    )
    return translated, _outer_product_mask(x, rows, columns)


def rotate(x: Tensor, angle: float, as_published: bool = False) -> tuple[Tensor, Tensor]:
    """Rotate about the center by `angle` radians, counter-clockwise on the screen. See `affine`."""
    return affine(x, rotation_matrix(angle), as_published)


def affine(x: Tensor, matrix: Matrix, as_published: bool = False) -> tuple[Tensor, Tensor]:
    """Move every point p of the image to matrix @ p, keeping only frequencies that both pixel grids can represent.

    `matrix` is 3x3 (or its upper 2x3) and acts about the image's center, x to the right and y down; its translation is
    in image widths and heights. `as_published` uses the published metric's filter, whose ideal response is summed over
    64 pixels only: slower to compute, and 0.1 % off near the angles 0, 90, 180 and 270 degrees.
    Raises ValueError for a matrix that is not invertible.
    """
    check_images(x, "affine")
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    linear, offset = _parse_matrix(matrix)
    height, width = x.shape[2:]
    taps = bandlimit_filter(linear, OVERSAMPLING, as_published)
    radius = len(taps) // 2  # in oversampled samples
    margin = radius // OVERSAMPLING + 1  # pixels around the image beyond which the oversampled image is zero
    kernels = torch.from_numpy(_polyphase_kernels(taps)).to(dtype).to(x.device)

    # The source position of each output pixel, in pixels; float64, as float32 is too coarse at a thousand pixels.
    offset_x = np.arange(width) - (width - 1) / 2 - offset[0] * width
    offset_y = np.arange(height)[:, None] - (height - 1) / 2 - offset[1] * height
    (a, b), (c, d) = np.linalg.inv(linear)
    source_x = a * offset_x + b * offset_y + (width - 1) / 2
    source_y = c * offset_x + d * offset_y + (height - 1) / 2

    oversampled_size = [(n + 2 * margin) * OVERSAMPLING for n in (width, height)]
    grid = np.stack(
        [
            ((s + margin) * OVERSAMPLING) / (n - 1) * 2 - 1
            for s, n in zip((source_x, source_y), oversampled_size, strict=True)
        ],
        axis=-1,
    )
    sampling_grid = torch.from_numpy(grid).to(dtype).to(x.device)[None]
    warped = [
        F.grid_sample(_upsample(plane, kernels, margin), sampling_grid, "bilinear", "zeros", align_corners=True)
        for plane in x.to(dtype).flatten(0, 1)[:, None, None]  # one by one: oversampled, each is 16 times as large
    ]
    mask = np.ones([height, width], dtype=bool)
    for source, size in ((source_x, width), (source_y, height)):
        position = source * OVERSAMPLING
        mask &= (position >= radius - 1.5) & (position < (size - 1) * OVERSAMPLING - radius + 0.5)
    return torch.cat(warped).reshape(x.shape).to(x.dtype), torch.from_numpy(mask).to(x.device)


def pseudo_rotate(x: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Remove the frequencies that `rotate` by this angle removes, without rotating: the reference for comparisons."""
    check_images(x, "pseudo_rotate")
    taps = bandlimit_filter(rotation_matrix(-angle)[:2, :2], 1)
    filtered = filter2d(x, torch.tensor(taps))
    radius = len(taps) // 2
    height, width = x.shape[2:]
    return filtered, _outer_product_mask(
        x, _valid_range(height, 0, radius, radius), _valid_range(width, 0, radius, radius)
    )


def rotation_matrix(angle: float) -> np.ndarray:
    """Return the 3x3 rotation by `angle` radians, counter-clockwise on the screen, where y points down."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def bandlimit_filter(linear: np.ndarray, up: int, as_published: bool = False) -> np.ndarray:
    """Design the low-pass filter for a linear map [2,2], on a grid of `up` samples per pixel: [taps, taps], sum 1.

    The ideal response passes the frequencies below Nyquist of both the source and the target pixel grid; the window is
    the convolution of both grids' Lanczos windows. Every polyphase component is normalized, to preserve the mean.
    """
    return _bandlimit_filter(tuple(float(n) for n in np.asarray(linear).reshape(4)), up, as_published)


@lru_cache(maxsize=64)
def _bandlimit_filter(flat: tuple[float, ...], up: int, as_published: bool) -> np.ndarray:
    linear = np.array(flat).reshape(2, 2)
    min_scale = np.linalg.svd(linear, compute_uv=False)[-1]
    radius = min(MAX_RADIUS, LANCZOS_A + max(LANCZOS_A, round(LANCZOS_A / min_scale)))
    steps = np.arange(-radius * up + 1, radius * up) / up
    x, y = np.meshgrid(steps, steps)
    target_x = linear[0, 0] * x + linear[0, 1] * y
    target_y = linear[1, 0] * x + linear[1, 1] * y
    if up == 1:
        ideal = np.sinc(target_x) * np.sinc(target_y)  # the samples are the source grid, a band limit by itself
    elif as_published:
        ideal = _convolve_sincs(linear, up, len(steps))
    else:
        ideal = _transform_of_polygon(_common_band(linear), x, y)
    window = _convolve(_lanczos(x) * _lanczos(y), _lanczos(target_x) * _lanczos(target_y))
    taps = np.pad(ideal * window, [[0, 1], [0, 1]])  # 2 * radius * up on a side
    phases = taps.reshape(2 * radius, up, 2 * radius, up)
    phases = phases / phases.sum((0, 2), keepdims=True) / up**2
    taps = phases.reshape(taps.shape)[:-1, :-1]
    taps.setflags(write=False)
    return taps


def _common_band(linear: np.ndarray) -> np.ndarray:
    """Return the corners [K,2], in order, of the band that both grids can represent, in cycles per source pixel."""
    corners = [np.array(p) for p in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]
    rows = np.linalg.inv(linear).T  # maps a frequency to the target grid
    for normal in (rows[0], -rows[0], rows[1], -rows[1]):
        clipped: list[np.ndarray] = []
        for i, corner in enumerate(corners):
            previous = corners[i - 1]
            inside, was_inside = normal @ corner <= 0.5, normal @ previous <= 0.5
            if inside != was_inside:
                edge = corner - previous
                clipped.append(previous + edge * (0.5 - normal @ previous) / (normal @ edge))
            if inside:
                clipped.append(corner)
        corners = clipped
    return np.array(corners)


def _transform_of_polygon(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Evaluate at (x, y) the Fourier transform of the indicator of a polygon that is symmetric about the origin.

    By the divergence theorem it is a sum over the edges, each contributing a sinc along its direction.
    """
    edges = np.roll(corners, -1, axis=0) - corners
    middles = corners + edges / 2
    total = np.zeros_like(x)
    for (ex, ey), (mx, my) in zip(edges, middles, strict=True):
        along_normal = x * ey - y * ex  # (x, y) dot the edge's normal, which has the edge's length
        total += along_normal * np.sinc(ex * x + ey * y) * np.sin(2 * np.pi * (mx * x + my * y))
    square = x * x + y * y
    area = np.sum(corners[:, 0] * np.roll(corners[:, 1], -1) - corners[:, 1] * np.roll(corners[:, 0], -1)) / 2
    return np.where(square > 0, total / (2 * np.pi * np.where(square > 0, square, 1)), area)


def _convolve_sincs(linear: np.ndarray, up: int, taps: int) -> np.ndarray:
    """Approximate `_transform_of_polygon`, up to scale, by circular convolution of both grids' sincs."""
    steps = np.arange(-PUBLISHED_RADIUS * up, PUBLISHED_RADIUS * up + 1) / up
    x, y = np.meshgrid(steps, steps)
    source = np.outer(np.sinc(steps), np.sinc(steps))
    target = np.sinc(linear[0, 0] * x + linear[0, 1] * y) * np.sinc(linear[1, 0] * x + linear[1, 1] * y)
    product = np.fft.irfft2(np.fft.rfft2(source) * np.fft.rfft2(target), source.shape)
    index = (np.arange(taps) - taps // 2 + len(steps) - 1) % len(steps)
    return product[np.ix_(index, index)]


def _convolve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Convolve two odd-sized square arrays of the same size, to that size."""
    full = [2 * n for n in a.shape]
    product = np.fft.irfft2(np.fft.rfft2(a, full) * np.fft.rfft2(b, full), full)
    half = a.shape[0] // 2
    return product[half : half + a.shape[0], half : half + a.shape[1]]


def _lanczos(distance: np.ndarray) -> np.ndarray:
    return np.where(np.abs(distance) < LANCZOS_A, np.sinc(distance / LANCZOS_A), 0)


def _lanczos_shift(pixels: float) -> np.ndarray:
    """Return the 2 * LANCZOS_A taps that shift by the fractional part of `pixels`."""
    distance = LANCZOS_A - np.arange(2 * LANCZOS_A) - (pixels - math.floor(pixels))
    taps = np.sinc(distance) * _lanczos(distance)
    return taps / taps.sum()


def _polyphase_kernels(taps: np.ndarray) -> np.ndarray:
    """Split the filter into one kernel for each oversampled position within a pixel: [up*up, 1, k, k]."""
    up = OVERSAMPLING
    radius = len(taps) // 2
    # Position p within a pixel weights the pixel k steps away with tap radius + p - k * up.
    steps = np.arange(-(radius // up) - 1, radius // up + 2)
    index = radius + np.arange(up)[:, None] - steps * up
    valid = (index >= 0) & (index < len(taps))
    index = np.where(valid, index, 0)
    gathered = taps[index[:, None, :, None], index[None, :, None, :]]
    gathered = gathered * (valid[:, None, :, None] & valid[None, :, None, :])
    return gathered.reshape(up * up, 1, len(steps), len(steps)) * up**2


def _upsample(plane: Tensor, kernels: Tensor, margin: int) -> Tensor:
    """[1,1,H,W] -> [1,1,4(H + 2 margin),4(W + 2 margin)]: one convolution with a channel per phase, then a shuffle."""
    return F.pixel_shuffle(F.conv2d(plane, kernels, padding=margin + kernels.shape[-1] // 2), OVERSAMPLING)


def _parse_matrix(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    values = matrix.detach().cpu() if isinstance(matrix, Tensor) else matrix
    rows = np.asarray(values, dtype=np.float64)
    if rows.shape not in ((3, 3), (2, 3)) or not np.isfinite(rows).all():
        raise ValueError(f"affine needs a 3x3 or 2x3 matrix of finite numbers, not one of {list(rows.shape)}.")
    if abs(np.linalg.det(rows[:2, :2])) < 1e-6:
        raise ValueError("affine cannot flatten the picture; the matrix must have an inverse.")
    return rows[:2, :2], rows[:2, 2]


def _valid_range(size: int, shift: int, before: int, after: int) -> np.ndarray:
    """Return which of `size` shifted samples had that many neighbors before and after them at their source."""
    source = np.arange(size) - shift
    return (source >= before) & (source < size - after)


def _outer_product_mask(x: Tensor, rows: np.ndarray, columns: np.ndarray) -> Tensor:
    return torch.from_numpy(np.outer(rows, columns)).to(x.device)
