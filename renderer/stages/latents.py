"""From a place on the seed plane, or a projected file, to the w of every layer."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from networks.architectures.mapping import truncate
from networks.sampling import blend_seeds, draw_latent, to_class_vectors
from renderer.errors import RenderError
from session import Latent, Mixing, Scene, Truncation
from session.scene import bilinear_seeds

MAX_FILE_BYTES = 1 << 28  # bytes of numbers; a thousand projected w have 40 MB
MAX_CACHED_SEEDS = 4096  # seeds whose w are kept, 2 KB each

# What zipfile and numpy raise on damaged files.
_READ_ERRORS = (ValueError, TypeError, IndexError, SyntaxError, EOFError, MemoryError, RuntimeError,
            tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)  # fmt: skip


class LatentError(RenderError):
    """A latent that cannot be made: one sentence."""


@dataclass(frozen=True)
class Styles:
    """What the synthesis network is given, and the class that made it (None without classes)."""

    ws: Tensor  # [1, num_ws, w_dim] on the network's device
    ws_cpu: Tensor  # the same on the CPU, to compare rows
    shown_class: int | None
    seeds_mapped: int  # how many seeds went through the mapping network, 0 where all were remembered


class LatentMapper:
    """The latents of one network; remembers what seeds map to, so that dragging maps only what is new."""

    def __init__(self, network: Any) -> None:
        """`network` is a Generator of either family, in evaluation mode."""
        self._network = network
        self._seeds: OrderedDict[tuple[int, int | None], Tensor] = OrderedDict()
        self._files: dict[tuple[str, int, int], np.ndarray] = {}
        self._seeds_mapped = 0

    def styles(self, scene: Scene) -> Styles:
        """The w of each layer: the blended seeds or the projected file, mixed, then truncated. Raises LatentError."""
        self._seeds_mapped = 0
        latent, mixing = scene.latent, scene.mixing
        if latent.projected:
            ws, shown = self._load_projected(latent), None
        else:
            ws, shown = self._blend_seeds(latent.seed, latent.x, latent.y, latent.class_index)
        ws = self._mix(ws, mixing)
        ws = self._truncate(ws, scene.truncation)
        return Styles(ws, ws.cpu(), shown, self._seeds_mapped)

    def _blend_seeds(self, seed: int, x: float, y: float, class_index: int | None) -> tuple[Tensor, int | None]:
        """ws [1, num_ws, w_dim] at a place of the plane, and the class of the corner that counts most."""
        mapping = self._network.mapping
        near = bilinear_seeds(seed, x, y)
        total: Tensor | None = None
        for corner, weight in near:
            w = self._map_seed(corner, class_index)
            part = w if weight == 1 else w * weight
            total = part if total is None else total + part
        assert total is not None
        ws = total.unsqueeze(1).repeat(1, self._network.num_ws, 1)
        if mapping.c_dim == 0:
            return ws, None
        if class_index is not None:
            return ws, class_index
        return ws, draw_latent(max(near, key=lambda pair: pair[1])[0], mapping.z_dim, mapping.c_dim)[1]

    def _map_seed(self, seed: int, class_index: int | None) -> Tensor:
        """w [1, w_dim] of one seed with its own class or the given one."""
        mapping = self._network.mapping
        key = (seed, class_index if mapping.c_dim else None)
        if key in self._seeds:
            self._seeds.move_to_end(key)
            return self._seeds[key]
        vector = None
        if class_index is not None and mapping.c_dim:
            if class_index >= mapping.c_dim:
                raise LatentError(
                    f"There is no class {class_index}: this network has classes 0 to {mapping.c_dim - 1}; choose one "
                    "of them."
                )
            vector = to_class_vectors(class_index, mapping.c_dim, 1)
        w = blend_seeds(mapping, [(seed, 1.0)], vector)[:, 0].clone()
        self._seeds_mapped += 1
        self._seeds[key] = w
        if len(self._seeds) > MAX_CACHED_SEEDS:
            self._seeds.popitem(last=False)
        return w

    def _mix(self, ws: Tensor, mixing: Mixing) -> Tensor:
        rows = [row for row in sorted(set(mixing.layers)) if row < ws.shape[1]]
        if not rows:
            return ws
        other, _ = self._blend_seeds(mixing.seed, mixing.x, 0.0, mixing.class_index)
        ws = ws.clone()
        ws[:, rows] = other[:, rows]
        return ws

    def _truncate(self, ws: Tensor, truncation: Truncation) -> Tensor:
        if truncation.psi == 1:
            return ws
        average = dict(self._network.mapping.named_buffers()).get("w_avg")
        if average is None:
            raise LatentError("This network keeps no average w: leave truncation psi at 1.")
        cutoff = ws.shape[1] if truncation.cutoff is None else truncation.cutoff
        return truncate(ws, average, truncation.psi, cutoff)

    def _load_projected(self, latent: Latent) -> Tensor:
        """ws [1, num_ws, w_dim] from the file."""
        try:
            path = Path(latent.projected).expanduser()
            facts = path.stat()
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: ~ of nobody here
            why = getattr(error, "strerror", None) or error
            raise LatentError(f"{latent.projected} cannot be read ({why}): choose another projected w.") from error
        key = (str(path), facts.st_mtime_ns, facts.st_size)
        if key not in self._files:
            self._files = {key: read_projected(path)}
        all_w = self._files[key]
        if latent.projected_index >= len(all_w):
            raise LatentError(
                f"{path.name} holds {len(all_w)} w, counted from 0, so there is no {latent.projected_index}."
            )
        w = all_w[latent.projected_index]
        rows, width = self._network.num_ws, self._network.w_dim
        if w.shape[1] != width or w.shape[0] not in (1, rows):
            raise LatentError(
                f"{path.name} holds w of {w.shape[0]} rows of {w.shape[1]} numbers, but this network reads {rows} of "
                f"{width}: open the network that it was projected with."
            )
        device = next(self._network.parameters()).device
        return torch.from_numpy(w.copy()).to(device).expand(rows, width).unsqueeze(0).contiguous()


def read_projected(path: Path) -> np.ndarray:
    """Every w in a projection's file, float32 [N, num_ws, w_dim] (num_ws 1: the same for all layers).

    Reads .npy, and .npz with the array "w"; also [num_ws, w_dim]. Nothing in the file is run. Raises LatentError.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("w.npy") as file:
                w = _read_array(file)
        else:
            with path.open("rb") as file:
                w = _read_array(file)
    except KeyError as error:
        raise LatentError(f"{path.name} holds no array named w: choose a projected_w.npz.") from error
    except OSError as error:
        raise LatentError(f"{path} cannot be read ({error.strerror or error}): choose another projected w.") from error
    except _READ_ERRORS as error:
        why = " ".join(str(error).split())
        raise LatentError(
            f"{path.name} is not a projected w ({why:.80}): choose a .npz with an array w, or a .npy."
        ) from error
    if w.ndim == 2:
        w = w[None]
    if w.ndim != 3 or 0 in w.shape or not np.isfinite(w).all():
        raise LatentError(
            f"{path.name} holds an array {list(w.shape)}, but a projected w is [N, num_ws, w_dim], finite."
        )
    return w


def _read_array(file: IO[bytes]) -> np.ndarray:
    """One array of numbers, without numpy's way round to pickles and without believing the header's size."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"array format {version}")
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, in_columns, dtype = header(file)
    if dtype.kind not in "f" or dtype.itemsize > 8:
        raise ValueError(f"it holds {dtype}, not floats")
    size = dtype.itemsize
    for length in shape:
        size *= length
    if not 0 <= size <= MAX_FILE_BYTES:
        raise ValueError(f"it claims {size} bytes")
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it breaks off early")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if in_columns else "C")
    return np.ascontiguousarray(array, np.float32)
