"""Grids of images to compare from snapshot to snapshot: reals.png and fakesNNNNNN.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data import Dataset
from networks.sampling import draw_latents, to_uint8
from session.atomic_write import atomic_write
from training.objectives.losses import Generator


def grid_size(resolution: int, grid: str, device: str) -> tuple[int, int]:
    """Return columns and rows of a grid: `grid` itself, or for auto what fills 7680 x 4320, as in StyleGAN2-ADA.

    auto is 8 x 4 on a CPU, where more would take too long.
    """
    if grid != "auto":
        columns, rows = grid.split("x")
        return int(columns), int(rows)
    if device == "cpu":
        return 8, 4
    return int(np.clip(7680 // resolution, 7, 32)), int(np.clip(4320 // resolution, 4, 32))


def sample_reals(dataset: Dataset, columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose real images uint8 [N,C,H,W] and labels [N,L], always the same; with classes, each row has one class."""
    stream = np.random.RandomState(0)
    indices = list(range(len(dataset)))
    stream.shuffle(indices)
    if not dataset.has_onehot_labels:
        return dataset.batch([indices[i % len(indices)] for i in range(columns * rows)])
    members: dict[int | None, list[int]] = {}
    for index in indices:
        members.setdefault(dataset.class_index(index), []).append(index)
    classes = sorted(members, key=lambda number: -1 if number is None else number)
    chosen = []
    for row in range(rows):
        class_indices = members[classes[row % len(classes)]]
        first = row // len(classes) * columns
        chosen += [class_indices[(first + i) % len(class_indices)] for i in range(columns)]
    return dataset.batch(chosen)


@torch.no_grad()
def generate_fakes(G: Generator, count: int, batch_size: int, labels: np.ndarray | None = None) -> np.ndarray:
    """Generate images uint8 [N,C,H,W] for seeds 0 to count - 1.

    labels [N, c_dim] condition them; without, each seed draws its class.
    """
    device = next(G.parameters()).device
    z, c = draw_latents(range(count), G.z_dim, G.c_dim)
    if G.c_dim > 0 and labels is not None:
        c = torch.from_numpy(labels)
    batches = []
    for first in range(0, count, batch_size):
        part = slice(first, first + batch_size)
        classes = None if c is None else c[part].to(device)
        batches.append(to_uint8(G(z[part].to(device), classes, noise_mode="const")).cpu())
    return torch.cat(batches).numpy()


def save_grid(path: Path, images: np.ndarray, columns: int) -> None:
    """Write images uint8 [N,C,H,W] as one PNG, row by row; moved into place when complete. Raises OSError."""
    count, channels, height, width = images.shape
    rows = count // columns
    grid = images.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    grid = grid.reshape(rows * height, columns * width, channels)
    with atomic_write(path, sync=False) as part:
        Image.fromarray(grid[:, :, 0] if channels == 1 else grid).save(part, format="PNG")
