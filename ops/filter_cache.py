"""Cache of what is derived from a filter (dtype, device, gain, flip), for as long as the filter lives."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

T = TypeVar("T")
MAX_ENTRIES = 32  # per filter: gains, devices, dtypes

# filter -> (its version counter, what was derived from that version)
_cache: WeakIdKeyDictionary = WeakIdKeyDictionary()


def cached_filter(f: Tensor | None, x: Tensor, gain: float = 1, flip: bool = False) -> Tensor:
    """Return the filter on x's device in the compute dtype, with gain and flip applied. Do not write to it.

    None is a single tap. The gain applies to a signal filtered along both axes.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    if f is None:
        return _single_tap(float(gain), dtype, x.device)

    def prepare() -> Tensor:
        taps = f.detach().to(dtype).to(x.device)  # in this order: some devices have no float64
        if flip:
            taps = taps.flip(list(range(taps.ndim)))
        if taps.ndim == 1 and gain < 0:  # a negative gain has no square root to apply along each axis
            taps = taps.outer(taps)
        return taps * gain ** (taps.ndim / 2)

    return memoize_for_filter(f, ("prepared", dtype, x.device, float(gain), flip), prepare)


@lru_cache(maxsize=64)
def _single_tap(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.full([1, 1], value, dtype=dtype, device=device)


def flipped_filter(f: Tensor) -> Tensor:
    """Return the filter flipped along every axis, as the adjoint needs it."""
    return memoize_for_filter(f, "flipped", lambda: f.flip(list(range(f.ndim))))


def memoize_for_filter(f: Tensor, key: Hashable, compute: Callable[[], T]) -> T:
    """Return compute(), called again only after f has changed.

    Inference-mode tensors have no version counter, so changes to those go unnoticed; no network changes a filter after
    loading.
    """
    version = 0 if f.is_inference() else f._version
    cached = _cache.get(f)
    if cached is None or cached[0] != version:
        cached = _cache[f] = (version, {})
    entries = cached[1]
    value = entries.get(key)  # a single lookup: another thread may clear the entries meanwhile
    if value is None:
        if len(entries) >= MAX_ENTRIES:
            entries.clear()
        with torch.inference_mode(False), torch.no_grad():
            value = entries[key] = compute()
    return value
