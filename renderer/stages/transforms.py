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
from renderer.models.model_cache import Loaded
from renderer.stages.feature_maps import Map
from session import Transform
from session.scene import Matrix, matrix

UNMOVED: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Moves:
    """Forward matrices in image widths; None where nothing moves."""

    at_input: Matrix | None
    on_picture: Matrix | None
    undone: Matrix | None  # the finished picture is moved back by this one's inverse


def moves_of(transform: Transform, loaded: Loaded) -> Moves:
    """What moves where; a network without a transform at its input has its picture moved."""
    forward = matrix(transform, loaded.network.img_resolution)
    if forward == UNMOVED:
        return Moves(None, None, None)
    at_input = transform.at_input and loaded.has_transform
    return Moves(forward if at_input else None, None if at_input else forward, forward if transform.undo else None)


def move_input(loaded: Loaded, forward: Matrix | None) -> AbstractContextManager[None]:
    """The network's input moved while the `with` block runs, and as it was afterwards."""
    synthesis = loaded.network.synthesis
    if forward is None or not isinstance(synthesis, AliasFree):
        return nullcontext()
    return synthesis.input.use_transform(forward)


def moved(captured: Map, moves: Moves, step: Step | None) -> Map:
    """The finished picture moved, and moved back, as wished; a layer's map is left alone."""
    if step is not None:
        return captured
    if moves.on_picture is not None:
        captured = _warped(captured, np.array(moves.on_picture))
    if moves.undone is not None:
        captured = _warped(captured, np.linalg.inv(np.array(moves.undone)))
    return captured


def _warped(picture: Map, forward: np.ndarray) -> Map:
    """Every point moved by a matrix in image widths, without aliasing; whole pixels go as they are."""
    height, width = picture.values.shape[1:]
    shift = forward[:2, 2]
    if not np.allclose(forward[:2, :2], np.eye(2), atol=1e-12):
        resampled, _ = affine(picture.values[None], forward)
    elif np.allclose(shift * (width, height), np.rint(shift * (width, height)), atol=1e-6):
        resampled, _ = translate_integer(picture.values[None], *shift)
    else:
        resampled, _ = translate(picture.values[None], *shift)
    return Map(resampled[0], _covered(forward, height, width).to(resampled.device), picture.width)


def _covered(forward: np.ndarray, height: int, width: int) -> Tensor:
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
