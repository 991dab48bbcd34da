"""Translate, rotate and scale a network's images by transforming the input of its synthesis network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.architectures.stylegan2 import SynthesisNetwork as StyleGAN2
from networks.architectures.stylegan3 import SynthesisInput
from networks.architectures.stylegan3 import SynthesisNetwork as StyleGAN3

Matrix = Sequence[Sequence[float]] | np.ndarray


@contextmanager
def transformed_input(synthesis: nn.Module, forward: Matrix) -> Iterator[None]:
    """Move every point p of the network's images to forward @ p during the `with` block.

    forward: matrix [3,3] in homogeneous coordinates, in image widths. StyleGAN3's Fourier features are transformed
    exactly (Karras et al. 2021, Appendix F). StyleGAN2's constant of 4x4 is resampled bilinearly with its edge
    repeated, the closest equivalent. Raises TypeError for other networks.
    """
    if isinstance(synthesis, StyleGAN3):
        context = _transformed_features(synthesis.input, forward)
    elif isinstance(synthesis, StyleGAN2):
        constant = synthesis.block(4).const
        assert constant is not None
        context = _resampled_constant(constant.data, forward)
    else:
        raise TypeError(f"A {type(synthesis).__name__} has no input that can be moved; give a StyleGAN3 or StyleGAN2.")
    with context:
        yield


@contextmanager
def _transformed_features(layer: SynthesisInput, forward: Matrix) -> Iterator[None]:
    original = layer.transform
    inverse = torch.linalg.inv(torch.as_tensor(forward, dtype=torch.float64))
    transform = original @ inverse.to(original)
    if torch.is_grad_enabled():  # the backward pass, after the block, still needs this tensor and the original
        layer.transform = transform
        try:
            yield
        finally:
            layer.transform = original
    else:  # in place, as CUDA graphs read it at its address
        values = original.clone()
        try:
            original.copy_(transform)
            yield
        finally:
            original.copy_(values)


@contextmanager
def _resampled_constant(constant: Tensor, forward: Matrix) -> Iterator[None]:
    original, inverse = constant.clone(), np.linalg.inv(forward)
    inverse[:2, 2] *= 2  # from image widths to the grid's half widths
    grid = F.affine_grid(torch.from_numpy(inverse[None, :2]).to(constant), [1, *constant.shape], align_corners=False)
    try:
        constant.copy_(F.grid_sample(original[None], grid, "bilinear", "border", align_corners=False)[0])
        yield
    finally:
        constant.copy_(original)
