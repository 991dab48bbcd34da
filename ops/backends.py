"""Choose which implementation of an op runs: a compiled one where it supports the input, else plain torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Implementation:
    """One implementation of an op. `unsupported_reason` says why it cannot take a tensor, or None if it can.

    The choice must depend only on device, dtype and shape, never on values or time, so that resumed runs stay
    bit-identical.
    """

    name: str
    run: Callable[..., Tensor]
    unsupported_reason: Callable[[Tensor], str | None] = lambda x: None


# By op, the preferred implementation first. The last is plain torch, which takes everything.
_implementations: dict[str, list[Implementation]] = {}


def register(op: str, implementation: Implementation) -> None:
    """Add an implementation of an op, preferred over those registered before."""
    _implementations.setdefault(op, []).insert(0, implementation)


def select(op: str, x: Tensor) -> Callable[..., Tensor]:
    """Return the preferred implementation that supports x."""
    return next(i.run for i in _implementations[op] if i.unsupported_reason(x) is None)


@contextmanager
def force_torch() -> Iterator[None]:
    """Use plain torch for every op while the `with` block runs, for comparisons."""
    saved = {op: list(implementations) for op, implementations in _implementations.items()}
    for implementations in _implementations.values():
        implementations[:] = implementations[-1:]
    try:
        yield
    finally:
        for op, implementations in _implementations.items():
            implementations[:] = saved[op]


def describe(device: torch.device | str = "cpu") -> str:
    """Say in one line for the user which implementation of each op runs for float32 on a device, and why."""
    probe = torch.empty(0, device=device)
    parts = []
    for op, implementations in _implementations.items():
        rejected = []
        for implementation in implementations:
            reason = implementation.unsupported_reason(probe)
            if reason is None:
                only = "the only form there is" if len(implementations) == 1 else "first choice"
                parts.append(f"{op}: {implementation.name} ({'; '.join(rejected) or only})")
                break
            rejected.append(f"{implementation.name}: {reason}")
    return ", ".join(parts)
