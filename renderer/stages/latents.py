"""From a position on the seed plane, or a projected file, to w+: one w for every layer."""

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
from session.bounded_read import check_plain
from session.scene import bilinear_seeds

MAX_FILE_BYTES = 1 << 28  # a thousand projected w+ take 40 MB
MAX_CACHED_SEEDS = 4096  # 2 KB each

# Raised by zipfile and numpy on damaged files.
_READ_ERRORS = (ValueError, TypeError, IndexError, SyntaxError, EOFError, MemoryError, RuntimeError,
            tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)  # fmt: skip


class LatentError(RenderError):
    """A latent that cannot be computed or read; the message is one sentence."""


@dataclass(frozen=True)
class Styles:
    """Input of the synthesis network, and the class it was made with (None without classes)."""

    ws: Tensor  # [1, num_ws, w_dim] on the network's device
    ws_cpu: Tensor  # the same on the CPU, for comparing rows
    shown_class: int | None
    seeds_mapped: int  # seeds that ran through the mapping network; the others were cached


class LatentMapper:
    """Maps scenes to w+ for one network; caches w by seed, so that dragging maps only new seeds."""

    def __init__(self, network: Any) -> None:
        """`network`: a Generator of either family, in evaluation mode."""
        self._network = network
        self._seeds: OrderedDict[tuple[int, int | None], Tensor] = OrderedDict()
        self._files: dict[tuple[str, int, int], np.ndarray] = {}
        self._seeds_mapped = 0

    def styles(self, scene: Scene) -> Styles:
        """Return w+ of a scene: blended seeds or projected file, then style mixing, then truncation.

        Raises LatentError.
        """
        self._seeds_mapped = 0
        latent, mixing = scene.latent, scene.mixing
        if latent.projected:
            ws, shown_class = self._load_projected(latent), None
        else:
            ws, shown_class = self._blend_seeds(latent.seed, latent.x, latent.y, latent.class_index)
        ws = self._mix(ws, mixing)
        ws = self._truncate(ws, scene.truncation)
        return Styles(ws, ws.cpu(), shown_class, self._seeds_mapped)

    def _blend_seeds(self, seed: int, x: float, y: float, class_index: int | None) -> tuple[Tensor, int | None]:
        """Return ws [1, num_ws, w_dim] at a position on the seed plane, and the class of the seed with most weight."""
        mapping = self._network.mapping
        corners = bilinear_seeds(seed, x, y)
        total: Tensor | None = None
        for corner, weight in corners:
            w = self._map_seed(corner, class_index)
            weighted = w if weight == 1 else w * weight
            total = weighted if total is None else total + weighted
        assert total is not None
        ws = total.unsqueeze(1).repeat(1, self._network.num_ws, 1)
        if mapping.c_dim == 0:
            return ws, None
        if class_index is not None:
            return ws, class_index
        return ws, draw_latent(max(corners, key=lambda pair: pair[1])[0], mapping.z_dim, mapping.c_dim)[1]

    def _map_seed(self, seed: int, class_index: int | None) -> Tensor:
        """Return w [1, w_dim] of one seed, with the given class or (None) the one that the seed draws."""
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
        second, _ = self._blend_seeds(mixing.seed, mixing.x, 0.0, mixing.class_index)
        ws = ws.clone()
        ws[:, rows] = second[:, rows]
        return ws

    def _truncate(self, ws: Tensor, truncation: Truncation) -> Tensor:
        if truncation.psi == 1:
            return ws
        w_avg = dict(self._network.mapping.named_buffers()).get("w_avg")
        if w_avg is None:
            raise LatentError("This network keeps no average w: leave truncation psi at 1.")
        cutoff = ws.shape[1] if truncation.cutoff is None else truncation.cutoff
        return truncate(ws, w_avg, truncation.psi, cutoff)

    def _load_projected(self, latent: Latent) -> Tensor:
        """Return ws [1, num_ws, w_dim] from the scene's projected file."""
        try:
            path = Path(latent.projected).expanduser()
            stat = path.stat()
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: ~ of an unknown user
            why = getattr(error, "strerror", None) or error
            raise LatentError(f"{latent.projected} cannot be read ({why}): choose another projected w.") from error
        key = (str(path), stat.st_mtime_ns, stat.st_size)
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
    """Read all w of a projected file, float32 [N, num_ws, w_dim] (num_ws 1: the same w for all layers).

    Reads .npy, and .npz with an array "w"; [num_ws, w_dim] counts as N = 1. Never unpickles. Raises LatentError.
    """
    try:
        check_plain(path)
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
    """Read one float array; never unpickles, and checks the size in the header before allocating."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"array format {version}")
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = header(file)
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
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
    with np.errstate(over="ignore"):  # infinities are refused by the caller
        return np.ascontiguousarray(array, np.float32)
