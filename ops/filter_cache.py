"""Filters as the passes want them, made once for each filter and kept as long as it lives."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

T = TypeVar("T")
MAX_ENTRIES = 32  # things kept of one filter: gains, devices, dtypes

# By filter: what its version was, and what was made of it.
_cache: WeakIdKeyDictionary = WeakIdKeyDictionary()


def cached_filter(f: Tensor | None, x: Tensor, gain: float = 1, flip: bool = False) -> Tensor:
    """The filter on x's device, in the dtype of the arithmetic, with gain and flip; not to be written to."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    if f is None:
        return _single_tap(float(gain), dtype, x.device)

    def make() -> Tensor:
        made = f.detach().to(dtype).to(x.device)  # in this order: some devices have no float64
        if flip:
            made = made.flip(list(range(made.ndim)))
        if made.ndim == 1 and gain < 0:
            made = made.outer(made)
        return made * gain ** (made.ndim / 2)

    return memoize_for_filter(f, ("prepared", dtype, x.device, float(gain), flip), make)


@lru_cache(maxsize=64)
def _single_tap(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.full([1, 1], value, dtype=dtype, device=device)


def flipped_filter(f: Tensor) -> Tensor:
    """The filter turned round along every axis, as gradients want it."""
    return memoize_for_filter(f, "flipped", lambda: f.flip(list(range(f.ndim))))


def memoize_for_filter(f: Tensor, key: Hashable, make: Callable[[], T]) -> T:
    """What `make` makes of f, made again only after f was written to.

    Writing to a filter within torch.inference_mode() leaves no trace and is not seen; no network does so once it is
    loaded.
    """
    version = 0 if f.is_inference() else f._version
    kept = _cache.get(f)
    if kept is None or kept[0] != version:
        kept = _cache[f] = (version, {})
    made = kept[1]
    result = made.get(key)  # and not asked for again: another thread may clear it meanwhile
    if result is None:
        if len(made) >= MAX_ENTRIES:
            made.clear()
        with torch.inference_mode(False), torch.no_grad():
            result = made[key] = make()
    return result
