"""Where a scene's transform acts: on the network's input, or on the finished picture, and back."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from networks.architectures.layerwise import Step
from networks.architectures.stylegan3 import SynthesisNetwork as AliasFree
from ops.warp import affine, translate, translate_integer
from renderer.models.model_cache import LoadedModel
from renderer.stages.feature_maps import FeatureMap
from session import Transform
from session.scene import Matrix, transform_matrix

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class TransformPlan:
    """Forward matrices in image widths; None where nothing moves."""

    at_input: Matrix | None
    on_output: Matrix | None
    undo: Matrix | None  # the finished picture is moved back by this one's inverse


def plan_transform(transform: Transform, loaded: LoadedModel) -> TransformPlan:
    """What moves where; a network without a transform at its input has its picture moved."""
    forward = transform_matrix(transform, loaded.network.img_resolution)
    if forward == IDENTITY:
        return TransformPlan(None, None, None)
    at_input = transform.at_input and loaded.has_transform
    return TransformPlan(
        forward if at_input else None, None if at_input else forward, forward if transform.undo else None
    )


def transform_input(loaded: LoadedModel, forward: Matrix | None) -> AbstractContextManager[None]:
    """The network's input moved while the `with` block runs, and as it was afterwards."""
    synthesis = loaded.network.synthesis
    if forward is None or not isinstance(synthesis, AliasFree):
        return nullcontext()
    return synthesis.input.use_transform(forward)


def apply_to_output(captured: FeatureMap, moves: TransformPlan, step: Step | None) -> FeatureMap:
    """The finished picture moved, and moved back, as wished; a layer's map is left alone."""
    if step is not None:
        return captured
    if moves.on_output is not None:
        captured = _warp(captured, np.array(moves.on_output))
    if moves.undo is not None:
        captured = _warp(captured, np.linalg.inv(np.array(moves.undo)))
    return captured


def _warp(picture: FeatureMap, forward: np.ndarray) -> FeatureMap:
    """Every point moved by a matrix in image widths, without aliasing; whole pixels go as they are."""
    height, width = picture.values.shape[1:]
    shift = forward[:2, 2]
    if not np.allclose(forward[:2, :2], np.eye(2), atol=1e-12):
        resampled, _ = affine(picture.values[None], forward)
    elif np.allclose(shift * (width, height), np.rint(shift * (width, height)), atol=1e-6):
        resampled, _ = translate_integer(picture.values[None], *shift)
    else:
        resampled, _ = translate(picture.values[None], *shift)
    return FeatureMap(resampled[0], coverage_mask(forward, height, width).to(resampled.device), picture.width)


def coverage_mask(forward: np.ndarray, height: int, width: int) -> Tensor:
    """Which pixels show a point of the picture, bool [height, width].

    The resamplers' own masks leave out what lies near an edge, too; that is right for measuring, not for looking.
    """
    across = (np.arange(width) + 0.5) / width - 0.5
    down = (np.arange(height)[:, None] + 0.5) / height - 0.5
    back = np.linalg.inv(forward)
    inside = np.ones((height, width), bool)
    for row in back[:2]:
        inside &= np.abs(row[0] * across + row[1] * down + row[2]) <= 0.5
    return torch.from_numpy(inside)
