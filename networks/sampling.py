"""From a seed to a latent and a class, and from a network's output to pixels: one rule for window, render and video."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from networks.architectures.layerwise import Noise
from networks.architectures.mapping import Mapping

NUM_SEEDS = 2**32


def draw_latent(seed: int, z_dim: int, c_dim: int = 0) -> tuple[np.ndarray, int | None]:
    """z [z_dim] float32 of a seed and, where there are classes, the class that the same stream draws after it.

    The rule of the published tools: numpy's legacy generator, so a seed means the same picture everywhere. Seeds
    beyond 32 bits wrap around.
    """
    stream = np.random.RandomState(seed % NUM_SEEDS)
    z = stream.randn(z_dim).astype(np.float32)
    return z, int(stream.randint(c_dim)) if c_dim > 0 else None


def draw_latents(seeds: Sequence[int], z_dim: int, c_dim: int = 0) -> tuple[Tensor, Tensor | None]:
    """z [N, z_dim] and one-hot classes [N, c_dim] (None without classes) of several seeds."""
    drawn = [draw_latent(seed, z_dim, c_dim) for seed in seeds]
    z = torch.from_numpy(np.stack([z for z, _ in drawn]))
    classes = [index for _, index in drawn if index is not None]
    return z, to_class_vectors(torch.tensor(classes), c_dim, len(drawn)) if classes else None


def to_class_vectors(c: Tensor | Sequence[int] | int, c_dim: int, count: int) -> Tensor:
    """Class vectors [count, c_dim] float32 from indices (one for all, or [count]), one-hot or soft rows.

    Raises ValueError for a network without classes, a class that it does not have, or another shape.
    """
    given = torch.as_tensor(c)
    if c_dim == 0:
        raise ValueError("This network has no classes; leave the class out.")
    if given.ndim == 2:
        if given.shape[1] != c_dim or given.shape[0] not in (1, count):
            raise ValueError(f"Class vectors have shape {list(given.shape)}, but must be [{count}, {c_dim}].")
        return given.to(torch.float32).expand(count, -1)
    if given.is_floating_point() or given.ndim > 1 or given.numel() not in (1, count):
        raise ValueError(
            f"Classes are {given.dtype} of shape {list(given.shape)}, but must be {count} whole numbers or rows of "
            f"[{count}, {c_dim}]."
        )
    for index in given.reshape(-1).tolist():
        if not 0 <= index < c_dim:
            raise ValueError(f"There is no class {index}; this network has classes 0 to {c_dim - 1}.")
    one_hot = torch.nn.functional.one_hot(given.reshape(-1).to(torch.int64), c_dim).to(torch.float32)
    return one_hot.expand(count, -1)


def neighbours(seed: int, x: float, y: float, row: int = 100) -> list[tuple[int, float]]:
    """The seeds around a point of the seed plane with their bilinear weights, which sum to 1; none has weight 0.

    The point is `x` seeds to the right of `seed` and `y` rows of `row` seeds down.
    """
    left, top = math.floor(x), math.floor(y)
    pairs = []
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy))
            if weight > 0:
                pairs.append(((seed + left + dx + (top + dy) * row) % NUM_SEEDS, weight))
    return pairs


def blend_seeds(
    mapping: Mapping,
    weighted_seeds: Sequence[tuple[int, float]],
    class_vector: Tensor | None = None,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
) -> Tensor:
    """The weighted sum [1, num_ws, w_dim] of what several seeds map to; weights should sum to 1.

    `class_vector` [1, c_dim] is the class of all; without it each seed has the class that it draws. Each seed is
    mapped by itself, so a seed's w has the same bits whatever its neighbours.
    """
    device = next(mapping.parameters()).device
    total: Tensor | None = None
    for seed, weight in weighted_seeds:
        z, c = draw_latents([seed], mapping.z_dim, mapping.c_dim)
        c = class_vector if class_vector is not None else c
        ws = mapping(z.to(device), None if c is None else c.to(device), truncation_psi, truncation_cutoff)
        part = ws if weight == 1 else ws * weight
        total = part if total is None else total + part
    if total is None:
        raise ValueError("There are no seeds to blend.")
    return total


def seeded_noise(seed: int) -> Noise:
    """Random noise for `synthesis.run(noise_mode="random")`, drawn for each layer from (seed, layer name).

    It is the same on every device, whichever layers ran before, and for each picture whatever the batch's size.
    """

    def draw(name: str, shape: tuple[int, int, int, int]) -> Tensor:
        stream = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence([seed % NUM_SEEDS, zlib.crc32(name.encode())]))
        )
        return torch.from_numpy(stream.standard_normal(shape, dtype=np.float32))

    return draw


def to_uint8(images: Tensor) -> Tensor:
    """Pictures nominally in [-1, 1] to bytes of the same shape: x * 127.5 + 128, clamped, rounded down."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)
