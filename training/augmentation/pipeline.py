"""ADA's augmentation pipeline: geometric and color transforms, filtering, noise and cutout of D's input images.

Karras et al. 2020, "Training GANs with limited data" (ADA), Appendix B. Each transform is applied to an image with
probability p times its strength. Parameters are computed in float64 on the CPU, so the device never has to wait.
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

MARGIN = len(resampling_filter()) // 4  # pixels that the resampling filter extends


@dataclass(frozen=True)
class AugmentConfig:
    """Probability of each transform at p = 1, and its magnitude. All probabilities 0: no augmentation."""

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
    xint_max: float = 0.125  # of the image size
    scale_std: float = 0.2  # log2
    rotate_max: float = 1  # of 180 degrees
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
_PIPELINE_TRANSFORMS = {
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
PIPELINES = tuple(_PIPELINE_TRANSFORMS)


def config_for(name: str) -> AugmentConfig:
    """Return the configuration of a pipeline of StyleGAN2-ADA, such as "bgc". Raises ValueError for other names."""
    if name not in _PIPELINE_TRANSFORMS:
        raise ValueError(f"There is no augmentation pipeline {name!r}; choose one of {', '.join(PIPELINES)}.")
    return replace(AugmentConfig(), **dict.fromkeys(_PIPELINE_TRANSFORMS[name], 1.0))


class ParamSource(Protocol):
    """Source of the transforms' parameters for the `count` images of a batch."""

    count: int

    def uniform(self, name: str, number: int = 1) -> np.ndarray: ...

    def normal(self, name: str, number: int = 1) -> np.ndarray: ...

    def bernoulli(self, name: str, probability: float) -> np.ndarray: ...


class Augmentation:
    """The pipeline with its present probability p, called with images [N,C,H,W] in [-1, 1] and an Rng."""

    def __init__(self, config: AugmentConfig, p: float = 0.0) -> None:
        self.config, self.p = config, p

    def __call__(self, images: Tensor, rng: Rng, which: str = "") -> Tensor:
        """Augment images; shapes stay. `which` ("real" or "fake") selects different random numbers."""

        def noise() -> Tensor:
            return rng.normal(f"augment noise {which}", *images.shape[1:])

        return augment(images, self.config, self.p, RngParamSource(rng, which, len(images)), noise)


def augment(
    images: Tensor, s: AugmentConfig, p: float, params: ParamSource, draw_noise: Callable[[], Tensor]
) -> Tensor:
    """Apply the pipeline `s` with probability p to images [N,C,H,W]; twice differentiable.

    Raises ValueError for images that have neither 1 nor 3 channels.
    """
    if images.shape[1] not in (1, 3):
        raise ValueError(f"Pictures have {images.shape[1]} channels; augmentation is for 3, or 1 of grey.")
    height, width = images.shape[2:]
    if any(getattr(s, name) > 0 for name in _BLIT + _GEOM):
        images = _apply_geometry(images, geometry_matrix(s, p, params, height, width))
    if any(getattr(s, name) > 0 for name in _COLOR):
        images = _apply_color(images, color_matrix(s, p, params, images.shape[1]))
    if s.imgfilter > 0:
        images = _apply_filter(images, band_gains(s, p, params))
    if s.noise > 0:
        size = np.abs(params.normal("noise size"))[:, 0] * s.noise_std * params.bernoulli("noise", s.noise * p)
        images = images + draw_noise() * _per_image(images, size)
    if s.cutout > 0:
        center = params.uniform("cutout", 2)
        size = s.cutout_size * params.bernoulli("cutout", s.cutout * p)
        images = images * cutout_mask(images, center, size)
    return images


def geometry_matrix(s: AugmentConfig, p: float, params: ParamSource, height: int, width: int) -> np.ndarray:
    """Return matrices [N,3,3] from output to input pixel positions, both relative to the image center."""
    total = np.tile(np.eye(3), [params.count, 1, 1])
    ones = np.ones(params.count)

    def applied(name: str) -> np.ndarray:
        return params.bernoulli(name, getattr(s, name) * p)

    if s.xflip > 0:
        flipped = np.floor(params.uniform("xflip")[:, 0] * 2) * applied("xflip")
        total = total @ scaling(1 - 2 * flipped, ones)
    if s.rotate90 > 0:
        quarters = np.floor(params.uniform("rotate90")[:, 0] * 4) * applied("rotate90")
        total = total @ rotation(-quarters * math.pi / 2)
    if s.xint > 0:
        shift = (params.uniform("xint", 2) * 2 - 1) * s.xint_max * applied("xint")[:, None]
        total = total @ translation(-np.rint(shift[:, 0] * width), -np.rint(shift[:, 1] * height))
    if s.scale > 0:
        size = np.exp2(params.normal("scale")[:, 0] * s.scale_std * applied("scale"))
        total = total @ scaling(1 / size, 1 / size)
    # Rotated before and after the anisotropic scaling, with 1 - sqrt(1 - p) each, so that at least one happens with p.
    rotate_probability = 1 - math.sqrt(min(max(1 - s.rotate * p, 0), 1))
    if s.rotate > 0:
        angle = (params.uniform("rotate")[:, 0] * 2 - 1) * math.pi * s.rotate_max
        total = total @ rotation(-angle * params.bernoulli("rotate", rotate_probability))
    if s.aniso > 0:
        size = np.exp2(params.normal("aniso")[:, 0] * s.aniso_std * applied("aniso"))
        total = total @ scaling(1 / size, size)
    if s.rotate > 0:
        angle = (params.uniform("rotate after")[:, 0] * 2 - 1) * math.pi * s.rotate_max
        total = total @ rotation(-angle * params.bernoulli("rotate after", rotate_probability))
    if s.xfrac > 0:
        shift = params.normal("xfrac", 2) * s.xfrac_std * applied("xfrac")[:, None]
        total = total @ translation(-shift[:, 0] * width, -shift[:, 1] * height)
    return total


def reflect_margins(total: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the pixels to pad left, right, top and bottom so that no image of the batch is sampled outside.

    At most the image size less one, the limit of reflection padding.
    """
    half = np.array([(width - 1) / 2, (height - 1) / 2])
    corners = np.array([[x, y, 1] for x in (-half[0], half[0]) for y in (-half[1], half[1])])
    sampled = np.einsum("nij,kj->nki", total, corners)[:, :, :2]
    low, high = (-sampled).max(axis=(0, 1)), sampled.max(axis=(0, 1))
    max_margin = [width - 1, height - 1]
    sides = [
        math.ceil(round(min(max(reach[axis] - half[axis] + 2 * MARGIN, 0), max_margin[axis]), 4))
        for axis in (0, 1)
        for reach in (low, high)
    ]
    return sides[0], sides[1], sides[2], sides[3]


def sampling_theta(total: np.ndarray, height: int, width: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Return theta [N,2,3] for `sample` on the padded image at twice the sampling rate, and the padding's margins."""
    left, right, above, below = reflect_margins(total, height, width)
    padded = np.array([width + left + right, height + above + below])
    # Upsampling by 2 keeps the first sample's position, so the fine grid's center is off by half a fine sample.
    to_padded = translation(np.array([(left - right) / 2]), np.array([(above - below) / 2])) @ total
    double, half = np.diag([2.0, 2.0, 1.0]), np.diag([0.5, 0.5, 1.0])
    to_fine_grid = translation(np.array([-0.5]), np.array([-0.5]))
    from_fine_grid = translation(np.array([0.5]), np.array([0.5]))
    fine = to_fine_grid @ double @ to_padded @ half @ from_fine_grid
    output_size = np.array([(width + 2 * MARGIN) * 2, (height + 2 * MARGIN) * 2])
    theta = np.diag([*(1 / padded), 1.0]) @ fine @ np.diag([*(output_size / 2), 1.0])
    return theta[:, :2], (left, right, above, below)


def color_matrix(s: AugmentConfig, p: float, params: ParamSource, channels: int) -> np.ndarray:
    """Return color transforms [N,4,4] of (red, green, blue, 1)."""
    total = np.tile(np.eye(4), [params.count, 1, 1])
    luma_axis = np.array([1, 1, 1, 0]) / math.sqrt(3)  # unit vector of gray
    luma = np.outer(luma_axis, luma_axis)
    identity = np.eye(4)

    def applied(name: str) -> np.ndarray:
        return params.bernoulli(name, getattr(s, name) * p)

    if s.brightness > 0:
        shift = np.tile(identity, [params.count, 1, 1])
        shift[:, :3, 3] = (params.normal("brightness") * s.brightness_std) * applied("brightness")[:, None]
        total = shift @ total
    if s.contrast > 0:
        factor = np.exp2(params.normal("contrast")[:, 0] * s.contrast_std * applied("contrast"))
        stretch = np.tile(identity, [params.count, 1, 1])
        stretch[:, :3, :3] *= factor[:, None, None]
        total = stretch @ total
    if s.lumaflip > 0:
        flipped = np.floor(params.uniform("lumaflip")[:, 0] * 2) * applied("lumaflip")
        total = (identity - scaled_by(2 * flipped, luma)) @ total
    if s.hue > 0 and channels > 1:
        angle = (params.uniform("hue")[:, 0] * 2 - 1) * math.pi * s.hue_max * applied("hue")
        total = rotation_about(luma_axis[:3], angle) @ total
    if s.saturation > 0 and channels > 1:
        factor = np.exp2(params.normal("saturation")[:, 0] * s.saturation_std * applied("saturation"))
        total = (luma + scaled_by(factor, identity - luma)) @ total
    return total


def band_gains(s: AugmentConfig, p: float, params: ParamSource) -> np.ndarray:
    """Return the gain of each frequency band [N, 4], normalized to keep the expected power of a natural image."""
    expected = np.array([10, 1, 1, 1]) / 13
    gains = np.ones([params.count, BANDS])
    for band, strength in enumerate(s.imgfilter_bands):
        factor = np.exp2(
            params.normal(f"band {band}")[:, 0]
            * s.imgfilter_std
            * params.bernoulli(f"band {band}", s.imgfilter * p * strength)
            * (strength > 0)
        )
        band_gain = np.ones([params.count, BANDS])
        band_gain[:, band] = factor
        gains *= band_gain / np.sqrt((expected * band_gain**2).sum(axis=1, keepdims=True))
    return gains


class RngParamSource:
    """ParamSource from an Rng: a row of random numbers per image, in which each parameter has three columns."""

    def __init__(self, rng: Rng, which: str, count: int) -> None:
        self.count = count
        self._uniform = rng.uniform(f"augment {which}", _NUM_COLUMNS)
        self._normal = rng.gaussian(f"augment {which} normal", _NUM_COLUMNS)

    def uniform(self, name: str, number: int = 1) -> np.ndarray:
        return self._uniform[:, _FIRST_COLUMN[name] : _FIRST_COLUMN[name] + number]

    def normal(self, name: str, number: int = 1) -> np.ndarray:
        return self._normal[:, _FIRST_COLUMN[name] : _FIRST_COLUMN[name] + number]

    def bernoulli(self, name: str, probability: float) -> np.ndarray:
        """Draw [N] float64, 1 with the given probability, else 0."""
        return (self._uniform[:, _FIRST_COLUMN[name] + 2] < probability).astype(np.float64)


# Columns of each parameter: two values, and one that decides whether it is applied. New names must be appended, so that
# the others keep their random numbers.
_PARAMETERS = (
    *_BLIT,
    *_GEOM,
    *_COLOR,
    "noise",
    "cutout",
    "noise size",
    "rotate after",
    *(f"band {i}" for i in range(BANDS)),
)
_FIRST_COLUMN = {name: 3 * i for i, name in enumerate(_PARAMETERS)}
_NUM_COLUMNS = 3 * len(_PARAMETERS)


def _apply_geometry(images: Tensor, total: np.ndarray) -> Tensor:
    height, width = images.shape[2:]
    theta, margins = sampling_theta(total, height, width)
    taps = torch.tensor(resampling_filter(), dtype=torch.float32, device=images.device)
    fine = upsample2d(F.pad(images, margins, mode="reflect"), taps)
    theta_tensor = torch.from_numpy(theta).to(images.device, images.dtype)
    sampled = sample(fine, theta_tensor, (height + 2 * MARGIN) * 2, (width + 2 * MARGIN) * 2)
    return downsample2d(sampled, taps, padding=-2 * MARGIN, flip_filter=True)


def _apply_color(images: Tensor, total: np.ndarray) -> Tensor:
    channels, rows = images.shape[1], total[:, :3]
    if channels == 1:  # the mean of the result for three equal channels
        rows = rows.mean(axis=1, keepdims=True)
        rows = np.concatenate([rows[:, :, :3].sum(axis=2, keepdims=True), rows[:, :, 3:]], axis=2)
    matrix = torch.from_numpy(rows).to(images.device, images.dtype)
    transformed = matrix[:, :, :channels] @ images.flatten(2) + matrix[:, :, channels:]
    return transformed.reshape(images.shape)


def _apply_filter(images: Tensor, gains: np.ndarray) -> Tensor:
    """Filter each image by its own separable, symmetric filter, with reflection padding."""
    count, channels, height, width = images.shape
    taps = torch.from_numpy(gains @ filter_bank()).to(images.device, images.dtype).repeat_interleave(channels, dim=0)
    radius = taps.shape[1] // 2
    x = reflect_pad(images, radius).reshape(1, count * channels, height + 2 * radius, width + 2 * radius)
    x = F.conv2d(x, taps[:, None, None, :], groups=count * channels)
    x = F.conv2d(x, taps[:, None, :, None], groups=count * channels)
    return x.reshape(images.shape)


def reflect_pad(images: Tensor, margin: int) -> Tensor:
    """Pad images by `margin` reflected pixels on each side, repeatedly if the margin exceeds their size."""
    while margin > 0:
        step = min(margin, min(images.shape[2:]) - 1)
        images = F.pad(images, [step] * 4, mode="reflect")
        margin -= step
    return images


def cutout_mask(images: Tensor, center: np.ndarray, size: np.ndarray) -> Tensor:
    """Return masks [N,1,H,W]: 0 in a square of side `size` [N] at `center` [N,2], in image sizes; else 1."""
    height, width = images.shape[2:]
    inside_x = np.abs((np.arange(width) + 0.5) / width - center[:, 0, None]) < size[:, None] / 2
    inside_y = np.abs((np.arange(height) + 0.5) / height - center[:, 1, None]) < size[:, None] / 2
    inside = inside_y[:, None, :, None] & inside_x[:, None, None, :]
    return torch.from_numpy(~inside).to(images.device, images.dtype)


def _per_image(images: Tensor, values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).to(images.device, images.dtype)[:, None, None, None]


def scaled_by(factor: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return factor[:, None, None] * matrix


def scaling(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    matrix = np.tile(np.eye(3), [len(x), 1, 1])
    matrix[:, 0, 0], matrix[:, 1, 1] = x, y
    return matrix


def translation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    matrix = np.tile(np.eye(3), [len(x), 1, 1])
    matrix[:, 0, 2], matrix[:, 1, 2] = x, y
    return matrix


def rotation(angle: np.ndarray) -> np.ndarray:
    matrix = np.tile(np.eye(3), [len(angle), 1, 1])
    matrix[:, 0, 0] = matrix[:, 1, 1] = np.cos(angle)
    matrix[:, 0, 1], matrix[:, 1, 0] = np.sin(angle), -np.sin(angle)
    return matrix


def rotation_about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return rotations [N,4,4] of (red, green, blue, 1) about a unit axis [3]; Rodrigues' formula."""
    a, b, c = axis
    cross = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    matrix = np.tile(np.eye(4), [len(angle), 1, 1])
    matrix[:, :3, :3] += scaled_by(np.sin(angle), cross) + scaled_by(1 - np.cos(angle), cross @ cross)
    return matrix
