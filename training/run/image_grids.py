"""Sheets of pictures that people compare from snapshot to snapshot: reals.png and fakesNNNNNN.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data import Dataset
from networks.sampling import draw_latents, to_uint8
from session.atomic_write import atomic_write
from training.objectives.losses import Generator


def sheet_size(resolution: int, grid: str, device: str) -> tuple[int, int]:
    """Columns and rows. `auto` fills a screen of 7680 x 4320, as published; on a CPU that would take too long."""
    if grid != "auto":
        columns, rows = grid.split("x")
        return int(columns), int(rows)
    if device == "cpu":
        return 8, 4
    return int(np.clip(7680 // resolution, 7, 32)), int(np.clip(4320 // resolution, 4, 32))


def reals(dataset: Dataset, columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N,C,H,W] and labels [N,L]: a seeded choice, with classes one of them a row."""
    stream = np.random.RandomState(0)
    everyone = list(range(len(dataset)))
    stream.shuffle(everyone)
    if not dataset.has_onehot_labels:
        return dataset.batch([everyone[i % len(everyone)] for i in range(columns * rows)])
    members: dict[int | None, list[int]] = {}
    for index in everyone:
        members.setdefault(dataset.class_index(index), []).append(index)
    classes = sorted(members, key=lambda number: -1 if number is None else number)
    chosen = []
    for row in range(rows):
        own = members[classes[row % len(classes)]]
        first = row // len(classes) * columns
        chosen += [own[(first + i) % len(own)] for i in range(columns)]
    return dataset.batch(chosen)


@torch.no_grad()
def fakes(G: Generator, count: int, round_size: int, labels: np.ndarray | None = None) -> np.ndarray:
    """uint8 [N,C,H,W]: the pictures of seeds 0, 1, 2 ..., of the classes that the seeds draw or with these labels."""
    device = next(G.parameters()).device
    z, c = draw_latents(range(count), G.z_dim, G.c_dim)
    if G.c_dim > 0 and labels is not None:
        c = torch.from_numpy(labels)
    made = []
    for first in range(0, count, round_size):
        own = slice(first, first + round_size)
        classes = None if c is None else c[own].to(device)
        made.append(to_uint8(G(z[own].to(device), classes, noise_mode="const")).cpu())
    return torch.cat(made).numpy()


def save_sheet(path: Path, images: np.ndarray, columns: int) -> None:
    """Write pictures uint8 [N,C,H,W] as one PNG, row by row; moved into place when whole. Raises OSError."""
    count, channels, height, width = images.shape
    rows = count // columns
    sheet = images.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    with atomic_write(path, sync=False) as part:
        Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet).save(part, format="PNG")
