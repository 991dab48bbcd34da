"""A scene's transform: applied to the network's input or to the image, and optionally undone on the image."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from networks.architectures.input_transform import transformed_input
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
    """Where to apply the transform; forward matrices in image widths, None for the identity."""

    at_input: Matrix | None
    on_output: Matrix | None
    undo: Matrix | None  # the inverse of this is applied to the image


def plan_transform(transform: Transform, loaded: LoadedModel) -> TransformPlan:
    """Decide where to apply the transform: to the image if the network's input cannot be transformed."""
    forward = transform_matrix(transform, loaded.network.img_resolution)
    if forward == IDENTITY:
        return TransformPlan(None, None, None)
    at_input = transform.at_input and loaded.has_transform
    return TransformPlan(
        forward if at_input else None, None if at_input else forward, forward if transform.undo else None
    )


def transform_input(loaded: LoadedModel, forward: Matrix | None) -> AbstractContextManager[None]:
    """Transform the network's input inside the `with` block."""
    synthesis = loaded.network.synthesis
    if forward is None or not isinstance(synthesis, AliasFree):
        return nullcontext()
    return transformed_input(synthesis, forward)


def apply_to_output(feature_map: FeatureMap, plan: TransformPlan, step: Step | None) -> FeatureMap:
    """Transform the image, and undo the transform, as planned; a layer's feature map is returned as it is."""
    if step is not None:
        return feature_map
    if plan.on_output is not None:
        feature_map = _warp(feature_map, np.array(plan.on_output))
    if plan.undo is not None:
        feature_map = _warp(feature_map, np.linalg.inv(np.array(plan.undo)))
    return feature_map


def _warp(feature_map: FeatureMap, forward: np.ndarray) -> FeatureMap:
    """Resample by a forward matrix in image widths, without aliasing; integer translations are exact copies."""
    height, width = feature_map.values.shape[1:]
    shift = forward[:2, 2]
    if not np.allclose(forward[:2, :2], np.eye(2), atol=1e-12):
        resampled, _ = affine(feature_map.values[None], forward)
    elif np.allclose(shift * (width, height), np.rint(shift * (width, height)), atol=1e-6):
        resampled, _ = translate_integer(feature_map.values[None], *shift)
    else:
        resampled, _ = translate(feature_map.values[None], *shift)
    return FeatureMap(resampled[0], coverage_mask(forward, height, width).to(resampled.device), feature_map.width)


def coverage_mask(forward: np.ndarray, height: int, width: int) -> Tensor:
    """Return which pixels show a point of the image, bool [height, width].

    The resamplers' own masks also exclude pixels near the edges, which suits metrics but not viewing.
    """
    x = (np.arange(width) + 0.5) / width - 0.5
    y = (np.arange(height)[:, None] + 0.5) / height - 0.5
    inverse = np.linalg.inv(forward)
    mask = np.ones((height, width), bool)
    for row in inverse[:2]:
        mask &= np.abs(row[0] * x + row[1] * y + row[2]) <= 0.5
    return torch.from_numpy(mask)
