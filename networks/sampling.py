"""From a seed to a latent and a class, and from a network's output to pixels, the same for window, render and video."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from networks.architectures.layerwise import Noise
from networks.architectures.mapping import Mapping

NUM_SEEDS = 2**32


def draw_latent(seed: int, z_dim: int, c_dim: int = 0) -> tuple[np.ndarray, int | None]:
    """Draw z [z_dim] float32 of a seed and, if there are classes, then a class index from the same generator.

    Uses numpy's legacy RandomState like NVIDIA's tools, so that a seed gives the same image in both. Seeds wrap around
    at 2**32.
    """
    stream = np.random.RandomState(seed % NUM_SEEDS)
    z = stream.randn(z_dim).astype(np.float32)
    return z, int(stream.randint(c_dim)) if c_dim > 0 else None


def draw_latents(seeds: Sequence[int], z_dim: int, c_dim: int = 0) -> tuple[Tensor, Tensor | None]:
    """Draw z [N, z_dim] and one-hot classes [N, c_dim] (None without classes) of several seeds; see `draw_latent`."""
    drawn = [draw_latent(seed, z_dim, c_dim) for seed in seeds]
    z = torch.from_numpy(np.stack([z for z, _ in drawn]))
    indices = [index for _, index in drawn if index is not None]
    return z, to_class_vectors(torch.tensor(indices), c_dim, len(drawn)) if indices else None


def to_class_vectors(c: Tensor | Sequence[int] | int, c_dim: int, count: int) -> Tensor:
    """Convert indices (one for all, or [count]), one-hot or soft rows to class vectors [count, c_dim] float32.

    Raises ValueError for a network without classes, a class that it does not have, or another shape.
    """
    classes = torch.as_tensor(c)
    if c_dim == 0:
        raise ValueError("This network has no classes; leave the class out.")
    if classes.ndim == 2:
        if classes.shape[1] != c_dim or classes.shape[0] not in (1, count):
            raise ValueError(f"Class vectors have shape {list(classes.shape)}, but must be [{count}, {c_dim}].")
        return classes.to(torch.float32).expand(count, -1)
    if classes.is_floating_point() or classes.ndim > 1 or classes.numel() not in (1, count):
        raise ValueError(
            f"Classes are {classes.dtype} of shape {list(classes.shape)}, but must be {count} whole numbers or rows of "
            f"[{count}, {c_dim}]."
        )
    for index in classes.reshape(-1).tolist():
        if not 0 <= index < c_dim:
            raise ValueError(f"There is no class {index}; this network has classes 0 to {c_dim - 1}.")
    one_hot = torch.nn.functional.one_hot(classes.reshape(-1).to(torch.int64), c_dim).to(torch.float32)
    return one_hot.expand(count, -1)


def blend_seeds(
    mapping: Mapping,
    weighted_seeds: Sequence[tuple[int, float]],
    class_vector: Tensor | None = None,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
) -> Tensor:
    """Return the weighted sum [1, num_ws, w_dim] of several seeds' ws; weights should sum to 1.

    `class_vector` [1, c_dim] is the class of all seeds; without it each has the class that it draws. Seeds are mapped
    one by one, so that a seed's w has the same bits whatever the others are. Raises ValueError without seeds.
    """
    device = next(mapping.parameters()).device
    total: Tensor | None = None
    for seed, weight in weighted_seeds:
        z, c = draw_latents([seed], mapping.z_dim, mapping.c_dim)
        c = class_vector if class_vector is not None else c
        ws = mapping(z.to(device), None if c is None else c.to(device), truncation_psi, truncation_cutoff)
        weighted = ws if weight == 1 else ws * weight
        total = weighted if total is None else total + weighted
    if total is None:
        raise ValueError("There are no seeds to blend.")
    return total


def seeded_noise(seed: int) -> Noise:
    """Return a noise function for `synthesis.run(noise_mode="random")`, keyed by (seed, layer name).

    The noise does not depend on the device, on the layers that ran before, or on the batch size.
    """

    def draw(name: str, shape: tuple[int, int, int, int]) -> Tensor:
        stream = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence([seed % NUM_SEEDS, zlib.crc32(name.encode())]))
        )
        return torch.from_numpy(stream.standard_normal(shape, dtype=np.float32))

    return draw


def to_uint8(images: Tensor) -> Tensor:
    """Convert images nominally in [-1, 1] to uint8 of the same shape: x * 127.5 + 128, clamped, rounded down."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)
