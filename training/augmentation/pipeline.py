"""Adaptive augmentation: pictures are flipped, turned, coloured, filtered and cut before D may see them.

Karras et al. 2020, "Training GANs with limited data" (ADA), Appendix B. Each kind happens to a picture with
probability p times its strength. What is drawn is worked out in float64 beside the device, so the device never waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ops import downsample2d, upsample2d
from training.augmentation.grid_sample import sample
from training.augmentation.wavelets import BANDS, filter_bank, resampling_filter
from training.engine.keyed_rng import Rng

MARGIN = len(resampling_filter()) // 4  # pixels that the resampling filter reaches


@dataclass(frozen=True)
class Strengths:
    """How likely each kind of augmentation is at p = 1, and how far it goes. All zero: nothing happens."""

    xflip: float = 0
    rotate90: float = 0
    xint: float = 0
    scale: float = 0
    rotate: float = 0
    aniso: float = 0
    xfrac: float = 0
    brightness: float = 0
    contrast: float = 0
    lumaflip: float = 0
    hue: float = 0
    saturation: float = 0
    imgfilter: float = 0
    noise: float = 0
    cutout: float = 0
    xint_max: float = 0.125  # of the picture's size
    scale_std: float = 0.2  # powers of two
    rotate_max: float = 1  # of half a turn
    aniso_std: float = 0.2
    xfrac_std: float = 0.125
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    hue_max: float = 1
    saturation_std: float = 1
    imgfilter_bands: tuple[float, ...] = (1, 1, 1, 1)
    imgfilter_std: float = 1
    noise_std: float = 0.1
    cutout_size: float = 0.5


_BLIT = ("xflip", "rotate90", "xint")
_GEOM = ("scale", "rotate", "aniso", "xfrac")
_COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
_NAMED = {
    "blit": _BLIT,
    "geom": _GEOM,
    "color": _COLOR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": _BLIT + _GEOM,
    "bgc": _BLIT + _GEOM + _COLOR,
    "bgcf": (*_BLIT, *_GEOM, *_COLOR, "imgfilter"),
    "bgcfn": (*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise"),
    "bgcfnc": (*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise", "cutout"),
}
PIPELINES = tuple(_NAMED)


def pipeline(name: str) -> Strengths:
    """The published pipeline of this name. Raises ValueError, with the names there are."""
    if name not in _NAMED:
        raise ValueError(f"There is no augmentation pipeline {name!r}; choose one of {', '.join(PIPELINES)}.")
    return replace(Strengths(), **dict.fromkeys(_NAMED[name], 1.0))


class Dice(Protocol):
    """Where the parameters of a batch come from."""

    count: int

    def uniform(self, name: str, number: int = 1) -> np.ndarray: ...

    def normal(self, name: str, number: int = 1) -> np.ndarray: ...

    def happens(self, name: str, probability: float) -> np.ndarray: ...


class Augmentation:
    """The pipeline with its present probability `p`; call it with pictures [N,C,H,W] in [-1, 1] and draws."""

    def __init__(self, strengths: Strengths, p: float = 0.0) -> None:
        self.strengths, self.p = strengths, p

    def __call__(self, images: Tensor, draws: Rng, which: str = "") -> Tensor:
        """The augmented pictures, of the same shape. `which` tells the draws of fakes from those of reals."""

        def noise() -> Tensor:
            return draws.normal(f"augment noise {which}", *images.shape[1:])

        return augment(images, self.strengths, self.p, DrawnDice(draws, which, len(images)), noise)


def augment(images: Tensor, s: Strengths, p: float, dice: Dice, draw_noise: Callable[[], Tensor]) -> Tensor:
    """Pictures [N,C,H,W] after everything in `s` that happens at p; can be differentiated twice."""
    if images.shape[1] not in (1, 3):
        raise ValueError(f"Pictures have {images.shape[1]} channels; augmentation is for 3, or 1 of grey.")
    height, width = images.shape[2:]
    if any(getattr(s, name) > 0 for name in _BLIT + _GEOM):
        images = _move(images, geometry(s, p, dice, height, width))
    if any(getattr(s, name) > 0 for name in _COLOR):
        images = _recolour(images, colours(s, p, dice, images.shape[1]))
    if s.imgfilter > 0:
        images = _filter(images, band_gains(s, p, dice))
    if s.noise > 0:
        size = np.abs(dice.normal("noise size"))[:, 0] * s.noise_std * dice.happens("noise", s.noise * p)
        images = images + draw_noise() * _column(images, size)
    if s.cutout > 0:
        centre = dice.uniform("cutout", 2)
        size = s.cutout_size * dice.happens("cutout", s.cutout * p)
        images = images * _outside(images, centre, size)
    return images


def geometry(s: Strengths, p: float, dice: Dice, height: int, width: int) -> np.ndarray:
    """[N,3,3]: from a pixel of the result to the one it shows, both counted from their picture's centre."""
    total = np.tile(np.eye(3), [dice.count, 1, 1])
    one = np.ones(dice.count)

    def happens(name: str) -> np.ndarray:
        return dice.happens(name, getattr(s, name) * p)

    if s.xflip > 0:
        flipped = np.floor(dice.uniform("xflip")[:, 0] * 2) * happens("xflip")
        total = total @ _scaling(1 - 2 * flipped, one)
    if s.rotate90 > 0:
        quarters = np.floor(dice.uniform("rotate90")[:, 0] * 4) * happens("rotate90")
        total = total @ _turning(-quarters * math.pi / 2)
    if s.xint > 0:
        shift = (dice.uniform("xint", 2) * 2 - 1) * s.xint_max * happens("xint")[:, None]
        total = total @ _shifting(-np.rint(shift[:, 0] * width), -np.rint(shift[:, 1] * height))
    if s.scale > 0:
        size = np.exp2(dice.normal("scale")[:, 0] * s.scale_std * happens("scale"))
        total = total @ _scaling(1 / size, 1 / size)
    # Turned before and after the uneven scaling, so that at least one of both happens with the probability asked for.
    either = 1 - math.sqrt(min(max(1 - s.rotate * p, 0), 1))
    if s.rotate > 0:
        angle = (dice.uniform("rotate")[:, 0] * 2 - 1) * math.pi * s.rotate_max
        total = total @ _turning(-angle * dice.happens("rotate", either))
    if s.aniso > 0:
        size = np.exp2(dice.normal("aniso")[:, 0] * s.aniso_std * happens("aniso"))
        total = total @ _scaling(1 / size, size)
    if s.rotate > 0:
        angle = (dice.uniform("rotate after")[:, 0] * 2 - 1) * math.pi * s.rotate_max
        total = total @ _turning(-angle * dice.happens("rotate after", either))
    if s.xfrac > 0:
        shift = dice.normal("xfrac", 2) * s.xfrac_std * happens("xfrac")[:, None]
        total = total @ _shifting(-shift[:, 0] * width, -shift[:, 1] * height)
    return total


def margins(total: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """Pixels to add left, right, above and below so that no picture of the batch shows beyond the edge.

    As much as mirroring can give: a picture's size less one at most.
    """
    half = np.array([(width - 1) / 2, (height - 1) / 2])
    corners = np.array([[x, y, 1] for x in (-half[0], half[0]) for y in (-half[1], half[1])])
    seen = np.einsum("nij,kj->nki", total, corners)[:, :, :2]
    low, high = (-seen).max(axis=(0, 1)), seen.max(axis=(0, 1))
    most = [width - 1, height - 1]
    sides = [
        math.ceil(round(min(max(reach[axis] - half[axis] + 2 * MARGIN, 0), most[axis]), 4))
        for axis in (0, 1)
        for reach in (low, high)
    ]
    return sides[0], sides[1], sides[2], sides[3]


def reading(total: np.ndarray, height: int, width: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """theta [N,2,3] for `sample` at twice the rate of the mirrored picture, and the margins of mirroring."""
    left, right, above, below = margins(total, height, width)
    padded = np.array([width + left + right, height + above + below])
    # Doubling keeps the first sample in its place, so both grids' centres lie half a fine sample off their pictures'.
    into = _shifting(np.array([(left - right) / 2]), np.array([(above - below) / 2])) @ total
    double, half = np.diag([2.0, 2.0, 1.0]), np.diag([0.5, 0.5, 1.0])
    off = _shifting(np.array([-0.5]), np.array([-0.5]))
    back = _shifting(np.array([0.5]), np.array([0.5]))
    fine = off @ double @ into @ half @ back
    result = np.array([(width + 2 * MARGIN) * 2, (height + 2 * MARGIN) * 2])
    across = np.diag([*(1 / padded), 1.0]) @ fine @ np.diag([*(result / 2), 1.0])
    return across[:, :2], (left, right, above, below)


def colours(s: Strengths, p: float, dice: Dice, channels: int) -> np.ndarray:
    """[N,4,4] on (red, green, blue, 1)."""
    total = np.tile(np.eye(4), [dice.count, 1, 1])
    grey = np.array([1, 1, 1, 0]) / math.sqrt(3)  # the axis of brightness
    along = np.outer(grey, grey)
    one = np.eye(4)

    def happens(name: str) -> np.ndarray:
        return dice.happens(name, getattr(s, name) * p)

    if s.brightness > 0:
        shift = np.tile(one, [dice.count, 1, 1])
        shift[:, :3, 3] = (dice.normal("brightness") * s.brightness_std) * happens("brightness")[:, None]
        total = shift @ total
    if s.contrast > 0:
        factor = np.exp2(dice.normal("contrast")[:, 0] * s.contrast_std * happens("contrast"))
        stretch = np.tile(one, [dice.count, 1, 1])
        stretch[:, :3, :3] *= factor[:, None, None]
        total = stretch @ total
    if s.lumaflip > 0:
        flipped = np.floor(dice.uniform("lumaflip")[:, 0] * 2) * happens("lumaflip")
        total = (one - _each(2 * flipped, along)) @ total
    if s.hue > 0 and channels > 1:
        angle = (dice.uniform("hue")[:, 0] * 2 - 1) * math.pi * s.hue_max * happens("hue")
        total = _turning_about(grey[:3], angle) @ total
    if s.saturation > 0 and channels > 1:
        factor = np.exp2(dice.normal("saturation")[:, 0] * s.saturation_std * happens("saturation"))
        total = (along + _each(factor, one - along)) @ total
    return total


def band_gains(s: Strengths, p: float, dice: Dice) -> np.ndarray:
    """[N, 4]: how much each band is amplified; the power expected of a natural picture stays the same."""
    expected = np.array([10, 1, 1, 1]) / 13
    gains = np.ones([dice.count, BANDS])
    for band, strength in enumerate(s.imgfilter_bands):
        factor = np.exp2(
            dice.normal(f"band {band}")[:, 0]
            * s.imgfilter_std
            * dice.happens(f"band {band}", s.imgfilter * p * strength)
            * (strength > 0)
        )
        one = np.ones([dice.count, BANDS])
        one[:, band] = factor
        gains *= one / np.sqrt((expected * one**2).sum(axis=1, keepdims=True))
    return gains


class DrawnDice:
    """Each picture of the batch has a row of numbers, and each parameter its own columns in it."""

    def __init__(self, draws: Rng, which: str, count: int) -> None:
        self.count = count
        self._uniform = draws.uniform(f"augment {which}", _COLUMNS)
        self._normal = draws.gaussian(f"augment {which} normal", _COLUMNS)

    def uniform(self, name: str, number: int = 1) -> np.ndarray:
        return self._uniform[:, _PLACES[name] : _PLACES[name] + number]

    def normal(self, name: str, number: int = 1) -> np.ndarray:
        return self._normal[:, _PLACES[name] : _PLACES[name] + number]

    def happens(self, name: str, probability: float) -> np.ndarray:
        """[N] 0 or 1."""
        return (self._uniform[:, _PLACES[name] + 2] < probability).astype(np.float64)


# Three columns each: two values, and whether it happens. New names go to the end: the others then keep their numbers.
_DRAWN = (
    *_BLIT,
    *_GEOM,
    *_COLOR,
    "noise",
    "cutout",
    "noise size",
    "rotate after",
    *(f"band {i}" for i in range(BANDS)),
)
_PLACES = {name: 3 * i for i, name in enumerate(_DRAWN)}
_COLUMNS = 3 * len(_DRAWN)


def _move(images: Tensor, total: np.ndarray) -> Tensor:
    height, width = images.shape[2:]
    theta, sides = reading(total, height, width)
    taps = torch.tensor(resampling_filter(), dtype=torch.float32, device=images.device)
    fine = upsample2d(F.pad(images, sides, mode="reflect"), taps)
    where = torch.from_numpy(theta).to(images.device, images.dtype)
    moved = sample(fine, where, (height + 2 * MARGIN) * 2, (width + 2 * MARGIN) * 2)
    return downsample2d(moved, taps, padding=-2 * MARGIN, flip_filter=True)


def _recolour(images: Tensor, total: np.ndarray) -> Tensor:
    channels, rows = images.shape[1], total[:, :3]
    if channels == 1:  # the mean of what would happen to three equal channels
        rows = rows.mean(axis=1, keepdims=True)
        rows = np.concatenate([rows[:, :, :3].sum(axis=2, keepdims=True), rows[:, :, 3:]], axis=2)
    matrix = torch.from_numpy(rows).to(images.device, images.dtype)
    coloured = matrix[:, :, :channels] @ images.flatten(2) + matrix[:, :, channels:]
    return coloured.reshape(images.shape)


def _filter(images: Tensor, gains: np.ndarray) -> Tensor:
    """Each picture with its own separable, symmetric filter, beyond mirrored edges."""
    count, channels, height, width = images.shape
    taps = torch.from_numpy(gains @ filter_bank()).to(images.device, images.dtype).repeat_interleave(channels, dim=0)
    reach = taps.shape[1] // 2
    x = mirrored(images, reach).reshape(1, count * channels, height + 2 * reach, width + 2 * reach)
    x = F.conv2d(x, taps[:, None, None, :], groups=count * channels)
    x = F.conv2d(x, taps[:, None, :, None], groups=count * channels)
    return x.reshape(images.shape)


def mirrored(images: Tensor, reach: int) -> Tensor:
    """The pictures with `reach` mirrored pixels on each side, mirrored again where that is more than they have."""
    while reach > 0:
        step = min(reach, min(images.shape[2:]) - 1)
        images = F.pad(images, [step] * 4, mode="reflect")
        reach -= step
    return images


def _outside(images: Tensor, centre: np.ndarray, size: np.ndarray) -> Tensor:
    """[N,1,H,W]: 0 in a box of `size` of the picture about `centre`, both in picture sizes; else 1."""
    height, width = images.shape[2:]
    across = np.abs((np.arange(width) + 0.5) / width - centre[:, 0, None]) < size[:, None] / 2
    down = np.abs((np.arange(height) + 0.5) / height - centre[:, 1, None]) < size[:, None] / 2
    inside = down[:, None, :, None] & across[:, None, None, :]
    return torch.from_numpy(~inside).to(images.device, images.dtype)


def _column(images: Tensor, values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).to(images.device, images.dtype)[:, None, None, None]


def _each(factor: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return factor[:, None, None] * matrix


def _scaling(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    matrix = np.tile(np.eye(3), [len(x), 1, 1])
    matrix[:, 0, 0], matrix[:, 1, 1] = x, y
    return matrix


def _shifting(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    matrix = np.tile(np.eye(3), [len(x), 1, 1])
    matrix[:, 0, 2], matrix[:, 1, 2] = x, y
    return matrix


def _turning(angle: np.ndarray) -> np.ndarray:
    matrix = np.tile(np.eye(3), [len(angle), 1, 1])
    matrix[:, 0, 0] = matrix[:, 1, 1] = np.cos(angle)
    matrix[:, 0, 1], matrix[:, 1, 0] = np.sin(angle), -np.sin(angle)
    return matrix


def _turning_about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """[N,4,4] turns of (red, green, blue) about a unit axis; Rodrigues' formula."""
    a, b, c = axis
    cross = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    matrix = np.tile(np.eye(4), [len(angle), 1, 1])
    matrix[:, :3, :3] += _each(np.sin(angle), cross) + _each(1 - np.cos(angle), cross @ cross)
    return matrix
