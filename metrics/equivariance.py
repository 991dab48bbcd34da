"""Equivariance metrics EQ-T and EQ-R: how exactly an image follows translations and rotations of a network's input.

Karras et al. 2021 (StyleGAN3), Appendix E: the image generated from transformed input is compared with the transformed
image where that is valid. The result is the PSNR in dB, 10 log10(peak^2 / mean squared error), with a peak of 2, as
images are in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from networks.architectures.input_transform import transformed_input
from networks.checkpoints.checkpoint import Generator
from ops.warp import pseudo_rotate, rotate, rotation_matrix, translate, translate_integer

MAX_TRANSLATION = 0.125  # image widths, in each direction
PEAK = 2.0  # from -1 to 1


@dataclass
class SquaredError:
    """Accumulates squared differences of images."""

    total: float = 0.0
    count: float = 0.0

    def update(self, images: Tensor, targets: Tensor, mask: Tensor) -> None:
        """Add the differences of images and targets [N,C,H,W] where mask [H,W] is true."""
        self.total += float(((images - targets).to(torch.float64).square() * mask).sum())
        self.count += float(mask.sum()) * images.shape[0] * images.shape[1]

    @property
    def decibels(self) -> float:
        """PSNR in dB; infinite without error, NaN if nothing was compared."""
        if not self.count:
            return math.nan
        return 10 * math.log10(PEAK**2 * self.count / self.total) if self.total else math.inf


@dataclass(frozen=True)
class Equivariance:
    """Equivariance of one network, in dB."""

    whole: float  # EQ-T: translations by integer pixels
    fraction: float  # EQ-T_frac: translations by subpixels
    rotation: float  # EQ-R


def equivariance(
    generator: Generator, ws: Tensor, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Equivariance:
    """Measure EQ-T, EQ-T_frac and EQ-R over ws [N, num_ws, w_dim], with other translations and angles for each.

    Translations are up to 1/8 of the width in each direction, rotations by any angle. StyleGAN2 has no input that can
    be transformed exactly; its learned constant is resampled instead, which the paper does not do.
    """
    draws = np.random.RandomState(seed).uniform(-1, 1, [len(ws), 5])
    whole, fraction, rotation = SquaredError(), SquaredError(), SquaredError()
    for index, (w, draw) in enumerate(zip(ws.split(1), draws, strict=True)):
        reference = synthesize(generator, w)
        add_translation(whole, generator, w, reference, *(draw[:2] * MAX_TRANSLATION), whole=True)
        add_translation(fraction, generator, w, reference, *(draw[2:4] * MAX_TRANSLATION), whole=False)
        add_rotation(rotation, generator, w, reference, draw[4] * math.pi)
        if progress:
            progress(index + 1, len(ws))
    return Equivariance(whole.decibels, fraction.decibels, rotation.decibels)


def add_translation(
    error: SquaredError, generator: Generator, ws: Tensor, reference: Tensor, tx: float, ty: float, whole: bool
) -> None:
    """Translate the input by (tx, ty) image widths, right and down; compare with translated `reference` [N,C,H,W]."""
    if whole:
        height, width = reference.shape[2:]
        tx, ty = round(tx * width) / width, round(ty * height) / height
    expected, mask = (translate_integer if whole else translate)(reference, tx, ty)
    forward = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    error.update(synthesize(generator, ws, forward), expected, mask)


def add_rotation(error: SquaredError, generator: Generator, ws: Tensor, reference: Tensor, angle: float) -> None:
    """Rotate the input by `angle` radians; compare with rotated `reference`, both low-pass filtered alike."""
    expected, mask = rotate(reference, angle)
    rotated, other_mask = pseudo_rotate(synthesize(generator, ws, rotation_matrix(angle)), angle)
    error.update(rotated, expected, mask & other_mask)


@torch.no_grad()
def synthesize(generator: Generator, ws: Tensor, forward: np.ndarray | None = None) -> Tensor:
    """Generate images [N,C,H,W] float32 from ws, with input transformed by a forward matrix [3,3] in image widths."""
    with transformed_input(generator.synthesis, np.eye(3) if forward is None else forward):
        return generator.synthesis(ws, noise_mode="const", force_fp32=True)
