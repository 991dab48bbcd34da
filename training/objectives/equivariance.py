"""Equivariance regularizer for StyleGAN3 (our own, not published): the image should follow transforms of the input."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from networks.architectures.input_transform import transformed_input
from networks.architectures.stylegan3 import Generator
from ops.warp import pseudo_rotate, rotate, rotation_matrix, translate
from training.engine.keyed_rng import Rng

MAX_TRANSLATION = 0.125  # image widths, as in the metric EQ-T


@dataclass(frozen=True)
class Motion:
    """A rotation about the center, radians counter-clockwise, or a translation in image widths, right and down."""

    angle: float = 0.0
    x: float = 0.0
    y: float = 0.0

    def forward_matrix(self) -> np.ndarray:
        """Return the matrix [3,3] that maps each point of the image to its new position."""
        matrix = rotation_matrix(self.angle)
        matrix[:2, 2] = self.x, self.y
        return matrix


def sample_motion(rng: Rng, G: Generator) -> Motion:
    """Draw one motion for a micro-batch, from its first image's stream; for config R half of them are rotations."""
    which, x, y = rng.uniform("equivariance", 3)[0]
    if G.synthesis.config.use_radial_filters and which < 0.5:
        return Motion(angle=(2 * x - 1) * math.pi)
    return Motion(x=(2 * x - 1) * MAX_TRANSLATION, y=(2 * y - 1) * MAX_TRANSLATION)


def equivariance_error(G: Generator, motion: Motion, synthesize: Callable[[], Tensor]) -> Tensor:
    """Mean squared difference [N] of images synthesized with transformed input and transformed images; differentiable.

    The mean is over valid pixels. Karras et al. 2021 (StyleGAN3), Eq. 2 and Appendix E.3, define the metric. As a loss
    alone it would also be reduced by lower contrast, which D prevents.
    """
    reference = synthesize()
    with transformed_input(G.synthesis, motion.forward_matrix()):
        moved = synthesize()
    if motion.angle:
        expected, mask = rotate(reference, motion.angle)
        moved, other_mask = pseudo_rotate(moved, motion.angle)
        mask = mask & other_mask
    else:
        expected, mask = translate(reference, motion.x, motion.y)
    squared_error = (moved - expected).square().mean(dim=1) * mask
    return squared_error.sum(dim=[1, 2]) / mask.sum().clamp(min=1)
