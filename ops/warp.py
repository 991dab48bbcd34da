"""Moving and turning pictures exactly: the published resamplers, which say of each pixel whether it can be trusted.

Every function takes pictures [N,C,H,W] and returns them moved, with a mask [H,W]: True where a pixel was made from the
picture alone, without its outside. Karras et al. 2021 (StyleGAN3), Appendix E.3.
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

LANCZOS_A = 3  # of the Lanczos windows
OVERSAMPLING = 4  # samples per pixel between which an affine warp interpolates
MAX_RADIUS = 16  # pixels a filter reaches at most; only strong shrinking wants more
PUBLISHED_RADIUS = 64  # pixels over which the published filter is summed

Matrix = Sequence[Sequence[float]] | np.ndarray | Tensor


def translate_integer(x: Tensor, tx: float, ty: float) -> tuple[Tensor, Tensor]:
    """Move by the nearest number of whole pixels; tx to the right in image widths, ty down in image heights."""
    check_images(x, "translate_whole")
    height, width = x.shape[2:]
    dx, dy = round(tx * width), round(ty * height)
    moved = upfirdn2d(x, None, padding=[dx, -dx, dy, -dy])
    return moved, _outer_mask(x, _trusted(height, dy, 0, 0), _trusted(width, dx, 0, 0))


def translate(x: Tensor, tx: float, ty: float) -> tuple[Tensor, Tensor]:
    """Move by any amount with a Lanczos filter; tx to the right in image widths, ty down in image heights."""
    check_images(x, "translate")
    height, width = x.shape[2:]
    dx, dy = tx * width, ty * height
    taps = torch.from_numpy(np.outer(_lanczos_shift(dy), _lanczos_shift(dx)))
    whole_x, whole_y = math.floor(dx), math.floor(dy)
    padding = [whole_x + LANCZOS_A, LANCZOS_A - 1 - whole_x, whole_y + LANCZOS_A, LANCZOS_A - 1 - whole_y]
    moved = upfirdn2d(x, taps, padding=padding, flip_filter=True)
    rows, columns = (
        _trusted(size, whole, LANCZOS_A, LANCZOS_A - 1) for size, whole in ((height, whole_y), (width, whole_x))
    )
    return moved, _outer_mask(x, rows, columns)


def rotate(x: Tensor, angle: float, as_published: bool = False) -> tuple[Tensor, Tensor]:
    """Turn about the centre by `angle` radians, counter-clockwise as seen on the screen. See `affine`."""
    return affine(x, rotation_matrix(angle), as_published)


def affine(x: Tensor, matrix: Matrix, as_published: bool = False) -> tuple[Tensor, Tensor]:
    """Move every point p of the picture to matrix @ p, keeping only frequencies that both pixel grids can hold.

    `matrix` is 3x3 (or its upper 2x3), acts about the picture's centre, x to the right and y down; its
    translation is in image widths and heights. `as_published` takes the metric's filter, which sums its ideal over
    64 pixels only: slower to make, and 0.1 % off near the angles 0, 90, 180 and 270 degrees.
    Raises ValueError for a matrix that cannot be inverted.
    """
    check_images(x, "affine")
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    linear, offset = _parse_matrix(matrix)
    height, width = x.shape[2:]
    taps = bandlimit_filter(linear, OVERSAMPLING, as_published)
    reach = len(taps) // 2  # in fine samples
    margin = reach // OVERSAMPLING + 1  # pixels beyond which the raised picture is zero
    phases = torch.from_numpy(_polyphase_kernels(taps)).to(dtype).to(x.device)

    # Where each pixel comes from, in pixels; in float64, as a thousand pixels leave float32 too few digits.
    away_x = np.arange(width) - (width - 1) / 2 - offset[0] * width
    away_y = np.arange(height)[:, None] - (height - 1) / 2 - offset[1] * height
    (a, b), (c, d) = np.linalg.inv(linear)
    source_x = a * away_x + b * away_y + (width - 1) / 2
    source_y = c * away_x + d * away_y + (height - 1) / 2

    fine_size = [(n + 2 * margin) * OVERSAMPLING for n in (width, height)]
    grid = np.stack(
        [((s + margin) * OVERSAMPLING) / (n - 1) * 2 - 1 for s, n in zip((source_x, source_y), fine_size, strict=True)],
        axis=-1,
    )
    where = torch.from_numpy(grid).to(dtype).to(x.device)[None]
    moved = [
        F.grid_sample(_upsample(plane, phases, margin), where, "bilinear", "zeros", align_corners=True)
        for plane in x.to(dtype).flatten(0, 1)[:, None, None]  # one by one: the raised picture is 16 times as large
    ]
    inside = np.ones([height, width], dtype=bool)
    for source, size in ((source_x, width), (source_y, height)):
        fine = source * OVERSAMPLING
        inside &= (fine >= reach - 1.5) & (fine < (size - 1) * OVERSAMPLING - reach + 0.5)
    return torch.cat(moved).reshape(x.shape).to(x.dtype), torch.from_numpy(inside).to(x.device)


def pseudo_rotate(x: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Take away what `rotate` by this angle would lose, without turning: the fair partner to compare with."""
    check_images(x, "pseudo_rotate")
    taps = bandlimit_filter(rotation_matrix(-angle)[:2, :2], 1)
    kept = filter2d(x, torch.tensor(taps))
    edge = len(taps) // 2
    height, width = x.shape[2:]
    return kept, _outer_mask(x, _trusted(height, 0, edge, edge), _trusted(width, 0, edge, edge))


def rotation_matrix(angle: float) -> np.ndarray:
    """3x3, turning by `angle` radians counter-clockwise as seen on the screen, where y points down."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def bandlimit_filter(linear: np.ndarray, up: int, as_published: bool = False) -> np.ndarray:
    """The low-pass filter of a linear map [2,2], on a grid of `up` samples per pixel: [taps, taps], sum 1.

    Ideally it passes the frequencies below Nyquist in the old and in the new pixel grid; under a window that is
    the convolution of both grids' Lanczos windows. Every phase of the filter is scaled to keep the brightness.
    """
    return _bandlimit_filter(tuple(float(n) for n in np.asarray(linear).reshape(4)), up, as_published)


@lru_cache(maxsize=64)
def _bandlimit_filter(flat: tuple[float, ...], up: int, as_published: bool) -> np.ndarray:
    linear = np.array(flat).reshape(2, 2)
    smallest = np.linalg.svd(linear, compute_uv=False)[-1]
    reach = min(MAX_RADIUS, LANCZOS_A + max(LANCZOS_A, round(LANCZOS_A / smallest)))
    steps = np.arange(-reach * up + 1, reach * up) / up
    x, y = np.meshgrid(steps, steps)
    new_x = linear[0, 0] * x + linear[0, 1] * y
    new_y = linear[1, 0] * x + linear[1, 1] * y
    if up == 1:
        ideal = np.sinc(new_x) * np.sinc(new_y)  # the old grid is the grid: it limits nothing further
    elif as_published:
        ideal = _convolve_sincs(linear, up, len(steps))
    else:
        ideal = _transform_of_polygon(_common_band(linear), x, y)
    window = _convolve(_lanczos(x) * _lanczos(y), _lanczos(new_x) * _lanczos(new_y))
    taps = np.pad(ideal * window, [[0, 1], [0, 1]])  # 2 * reach * up on a side
    phases = taps.reshape(2 * reach, up, 2 * reach, up)
    phases = phases / phases.sum((0, 2), keepdims=True) / up**2
    taps = phases.reshape(taps.shape)[:-1, :-1]
    taps.setflags(write=False)
    return taps


def _common_band(linear: np.ndarray) -> np.ndarray:
    """The corners [K,2], in order, of the frequencies that both grids can hold, in cycles per old pixel."""
    corners = [np.array(p) for p in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]
    rows = np.linalg.inv(linear).T  # of the frequency in the new grid
    for normal in (rows[0], -rows[0], rows[1], -rows[1]):
        clipped: list[np.ndarray] = []
        for i, corner in enumerate(corners):
            before = corners[i - 1]
            inside, was_inside = normal @ corner <= 0.5, normal @ before <= 0.5
            if inside != was_inside:
                clipped.append(before + (corner - before) * (0.5 - normal @ before) / (normal @ (corner - before)))
            if inside:
                clipped.append(corner)
        corners = clipped
    return np.array(corners)


def _transform_of_polygon(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The Fourier transform at (x, y) of the indicator of a polygon that is symmetric about the origin.

    By the divergence theorem it is a sum over the edges, each a sinc along its direction.
    """
    edges = np.roll(corners, -1, axis=0) - corners
    middles = corners + edges / 2
    total = np.zeros_like(x)
    for (ex, ey), (mx, my) in zip(edges, middles, strict=True):
        outward = x * ey - y * ex  # the edge's normal, as long as the edge
        total += outward * np.sinc(ex * x + ey * y) * np.sin(2 * np.pi * (mx * x + my * y))
    square = x * x + y * y
    area = np.sum(corners[:, 0] * np.roll(corners[:, 1], -1) - corners[:, 1] * np.roll(corners[:, 0], -1)) / 2
    return np.where(square > 0, total / (2 * np.pi * np.where(square > 0, square, 1)), area)


def _convolve_sincs(linear: np.ndarray, up: int, taps: int) -> np.ndarray:
    """What `_transform_of_polygon` gives, up to scale, by convolving the grids' sincs around a circle."""
    steps = np.arange(-PUBLISHED_RADIUS * up, PUBLISHED_RADIUS * up + 1) / up
    x, y = np.meshgrid(steps, steps)
    old = np.outer(np.sinc(steps), np.sinc(steps))
    new = np.sinc(linear[0, 0] * x + linear[0, 1] * y) * np.sinc(linear[1, 0] * x + linear[1, 1] * y)
    product = np.fft.irfft2(np.fft.rfft2(old) * np.fft.rfft2(new), old.shape)
    place = (np.arange(taps) - taps // 2 + len(steps) - 1) % len(steps)
    return product[np.ix_(place, place)]


def _convolve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The convolution of two odd-sized squares, of the same size."""
    full = [2 * n for n in a.shape]
    product = np.fft.irfft2(np.fft.rfft2(a, full) * np.fft.rfft2(b, full), full)
    half = a.shape[0] // 2
    return product[half : half + a.shape[0], half : half + a.shape[1]]


def _lanczos(distance: np.ndarray) -> np.ndarray:
    return np.where(np.abs(distance) < LANCZOS_A, np.sinc(distance / LANCZOS_A), 0)


def _lanczos_shift(pixels: float) -> np.ndarray:
    """The 2 * LOBES taps that shift by the fraction of `pixels`."""
    distance = LANCZOS_A - np.arange(2 * LANCZOS_A) - (pixels - math.floor(pixels))
    taps = np.sinc(distance) * _lanczos(distance)
    return taps / taps.sum()


def _polyphase_kernels(taps: np.ndarray) -> np.ndarray:
    """The filter as one small kernel for each fine position within a pixel: [up*up, 1, k, k]."""
    up = OVERSAMPLING
    reach = len(taps) // 2
    # Fine position p of a pixel gathers the pixels k steps away with tap reach + p - k * up (the filter is even
    # under a half turn, but this is written for any).
    steps = np.arange(-(reach // up) - 1, reach // up + 2)
    index = reach + np.arange(up)[:, None] - steps * up
    valid = (index >= 0) & (index < len(taps))
    index = np.where(valid, index, 0)
    gathered = taps[index[:, None, :, None], index[None, :, None, :]]
    gathered = gathered * (valid[:, None, :, None] & valid[None, :, None, :])
    return gathered.reshape(up * up, 1, len(steps), len(steps)) * up**2


def _upsample(plane: Tensor, phases: Tensor, margin: int) -> Tensor:
    """[1,1,H,W] -> [1,1,4(H + 2 margin),4(W + 2 margin)]: every phase is a channel of one convolution."""
    return F.pixel_shuffle(F.conv2d(plane, phases, padding=margin + phases.shape[-1] // 2), OVERSAMPLING)


def _parse_matrix(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    values = matrix.detach().cpu() if isinstance(matrix, Tensor) else matrix
    rows = np.asarray(values, dtype=np.float64)
    if rows.shape not in ((3, 3), (2, 3)) or not np.isfinite(rows).all():
        raise ValueError(f"affine needs a 3x3 or 2x3 matrix of finite numbers, not one of {list(rows.shape)}.")
    if abs(np.linalg.det(rows[:2, :2])) < 1e-6:
        raise ValueError("affine cannot flatten the picture; the matrix must have an inverse.")
    return rows[:2, :2], rows[:2, 2]


def _trusted(size: int, moved: int, before: int, after: int) -> np.ndarray:
    """Which of `size` samples, moved, had that many neighbours before and after them."""
    source = np.arange(size) - moved
    return (source >= before) & (source < size - after)


def _outer_mask(x: Tensor, rows: np.ndarray, columns: np.ndarray) -> Tensor:
    return torch.from_numpy(np.outer(rows, columns)).to(x.device)
