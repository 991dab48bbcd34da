"""Our own regulariser, not a published one: a StyleGAN3 whose input moves should paint the same picture, moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from networks.architectures.stylegan3 import Generator, SynthesisInput
from ops.warp import pseudo_rotate, rotate, rotation_matrix, translate
from training.engine.keyed_rng import Rng

FURTHEST = 0.125  # of the image's size, as in the metric EQ-T


@dataclass(frozen=True)
class Motion:
    """A turn about the centre in radians, counter-clockwise, or a move in image sizes, to the right and down."""

    angle: float = 0.0
    x: float = 0.0
    y: float = 0.0

    def matrix(self) -> np.ndarray:
        """3x3: where each point of the picture goes."""
        matrix = rotation_matrix(self.angle)
        matrix[:2, 2] = self.x, self.y
        return matrix


def drawn_motion(draws: Rng, G: Generator) -> Motion:
    """One for the whole round, from its first picture's stream; for R every other one is a turn by any angle."""
    which, x, y = draws.uniform("equivariance", 3)[0]
    if G.synthesis.config.use_radial_filters and which < 0.5:
        return Motion(angle=(2 * x - 1) * math.pi)
    return Motion(x=(2 * x - 1) * FURTHEST, y=(2 * y - 1) * FURTHEST)


def equivariance_error(G: Generator, motion: Motion, paint: Callable[[], Tensor]) -> Tensor:
    """How far the pictures that `paint()` makes with moved input are from its pictures, moved: squares [N].

    The mean is over the pixels that can be trusted. Karras et al. 2021 (StyleGAN3), Eq. 2 and Appendix E.3 measure
    equivariance so; here it can be differentiated. Alone it would also fade the pictures, which D does not let pass.
    """
    still = paint()
    with moved_input(G.synthesis.input, motion):
        moved = paint()
    if motion.angle:
        expected, trusted = rotate(still, motion.angle)
        moved, also = pseudo_rotate(moved, motion.angle)
        trusted = trusted & also
    else:
        expected, trusted = translate(still, motion.x, motion.y)
    squares = (moved - expected).square().mean(dim=1) * trusted
    return squares.sum(dim=[1, 2]) / trusted.sum().clamp(min=1)


@contextmanager
def moved_input(layer: SynthesisInput, motion: Motion) -> Iterator[None]:
    """The network's input moved while the `with` block runs."""
    before = layer.transform
    inverse = torch.from_numpy(np.linalg.inv(motion.matrix()))
    layer.transform = before @ inverse.to(before)  # another tensor: the graph holds on to the old one
    try:
        yield
    finally:
        layer.transform = before
