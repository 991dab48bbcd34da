"""How exactly a picture follows when a network's input is moved or turned: EQ-T and EQ-R, in dB.

Karras et al. 2021 (StyleGAN3), Appendix E: the picture made from the moved input is compared with the moved picture,
where that can be trusted; 10 log10(peak^2 / mean squared error) with a peak of 2, as pictures are in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.architectures.stylegan2 import SynthesisNetwork as StyleGAN2
from networks.architectures.stylegan3 import SynthesisNetwork as StyleGAN3
from networks.checkpoints.checkpoint import Generator
from ops.warp import pseudo_rotate, rotate, rotation_matrix, translate, translate_integer

FARTHEST = 0.125  # image widths that a translation reaches, each way
PEAK = 2.0  # from -1 to 1


@dataclass
class Error:
    """Squared differences, gathered over pictures."""

    total: float = 0.0
    values: float = 0.0

    def add(self, one: Tensor, other: Tensor, mask: Tensor) -> None:
        """Two sets of pictures [N,C,H,W] where mask [H,W] is true."""
        self.total += float(((one - other).to(torch.float64).square() * mask).sum())
        self.values += float(mask.sum()) * one.shape[0] * one.shape[1]

    @property
    def decibels(self) -> float:
        """Peak over error; infinite where there is no error, NaN where nothing was compared."""
        if not self.values:
            return math.nan
        return 10 * math.log10(PEAK**2 * self.values / self.total) if self.total else math.inf


@dataclass(frozen=True)
class Equivariance:
    """Of one network, in dB."""

    whole: float  # EQ-T: translations by whole pixels
    fraction: float  # EQ-T_frac: by any amount
    rotation: float  # EQ-R


def equivariance(
    generator: Generator, ws: Tensor, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Equivariance:
    """EQ-T, EQ-T_frac and EQ-R over ws [N, num_ws, w_dim], each moved by amounts and an angle of its own.

    Translations reach an eighth of the width each way, angles go all round. StyleGAN2 has no input that could be
    moved; its learned constant is moved instead (see `moved_input`), which the paper leaves out.
    """
    draws = np.random.RandomState(seed).uniform(-1, 1, [len(ws), 5])
    whole, fraction, rotation = Error(), Error(), Error()
    for index, (w, draw) in enumerate(zip(ws.split(1), draws, strict=True)):
        still = picture(generator, w)
        add_translation(whole, generator, w, still, *(draw[:2] * FARTHEST), whole=True)
        add_translation(fraction, generator, w, still, *(draw[2:4] * FARTHEST), whole=False)
        add_rotation(rotation, generator, w, still, draw[4] * math.pi)
        if progress:
            progress(index + 1, len(ws))
    return Equivariance(whole.decibels, fraction.decibels, rotation.decibels)


def add_translation(
    error: Error, generator: Generator, ws: Tensor, still: Tensor, tx: float, ty: float, whole: bool
) -> None:
    """Compare input moved by (tx, ty) image widths, right and down, with the moved pictures `still` [N,C,H,W]."""
    if whole:
        height, width = still.shape[2:]
        tx, ty = round(tx * width) / width, round(ty * height) / height
    expected, mask = (translate_integer if whole else translate)(still, tx, ty)
    forward = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    error.add(picture(generator, ws, forward), expected, mask)


def add_rotation(error: Error, generator: Generator, ws: Tensor, still: Tensor, angle: float) -> None:
    """Compare input turned by `angle` radians with the turned pictures, both without what turning pixels loses."""
    expected, mask = rotate(still, angle)
    turned, other_mask = pseudo_rotate(picture(generator, ws, rotation_matrix(angle)), angle)
    error.add(turned, expected, mask & other_mask)


@torch.no_grad()
def picture(generator: Generator, ws: Tensor, forward: np.ndarray | None = None) -> Tensor:
    """The pictures [N,C,H,W] float32 of ws, with the input moved by a forward matrix [3,3] in image widths."""
    with moved_input(generator.synthesis, np.eye(3) if forward is None else forward):
        return generator.synthesis(ws, noise_mode="const", force_fp32=True)


@contextmanager
def moved_input(synthesis: nn.Module, forward: np.ndarray) -> Iterator[None]:
    """A synthesis network whose input is moved while the block runs: every point p goes to forward @ p.

    StyleGAN3's Fourier features are moved exactly. StyleGAN2's constant of 4x4 is resampled linearly, with its
    edge repeated: the nearest thing to a moved input that it has. Raises TypeError for other networks.
    """
    if isinstance(synthesis, StyleGAN3):
        with synthesis.input.use_transform(forward):
            yield
        return
    if not isinstance(synthesis, StyleGAN2):
        raise TypeError(f"A {type(synthesis).__name__} has no input that can be moved; give a StyleGAN3 or StyleGAN2.")
    constant = synthesis.block(4).const
    assert constant is not None
    kept, inverse = constant.data, np.linalg.inv(forward)
    before = kept.clone()
    inverse[:2, 2] *= 2  # from widths to half widths
    grid = F.affine_grid(torch.from_numpy(inverse[None, :2]).to(kept), [1, *kept.shape], align_corners=False)
    try:
        kept.copy_(F.grid_sample(before[None], grid, "bilinear", "border", align_corners=False)[0])
        yield
    finally:
        kept.copy_(before)
