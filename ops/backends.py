"""Which form of a kernel runs: plain torch always can, compiled ones are asked first where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Implementation:
    """One implementation of a kernel. `refuses` says why it cannot take a tensor, or None if it can.

    It may look at the device, the dtype and sizes, never at values or the clock: the same input must always meet
    the same form, or resumed pictures would differ from whole ones.
    """

    name: str
    run: Callable[..., Tensor]
    unsupported_reason: Callable[[Tensor], str | None] = lambda x: None


_implementations: dict[str, list[Implementation]] = {}


def register(kernel: str, form: Implementation) -> None:
    """Add a form of a kernel; forms offered later are asked first."""
    _implementations.setdefault(kernel, []).insert(0, form)


def select(kernel: str, x: Tensor) -> Callable[..., Tensor]:
    """The first form that takes x."""
    return next(form.run for form in _implementations[kernel] if form.unsupported_reason(x) is None)


@contextmanager
def force_torch() -> Iterator[None]:
    """Nothing but plain torch while the `with` block runs, to compare with."""
    kept = {kernel: list(forms) for kernel, forms in _implementations.items()}
    for forms in _implementations.values():
        forms[:] = forms[-1:]
    try:
        yield
    finally:
        for kernel, forms in _implementations.items():
            forms[:] = kept[kernel]


def describe(device: torch.device | str = "cpu") -> str:
    """Which form of each kernel runs for float32 on a device, and why not a faster one: a line for the user."""
    probe = torch.empty(0, device=device)
    parts = []
    for kernel, forms in _implementations.items():
        refusals = []
        for form in forms:
            reason = form.unsupported_reason(probe)
            if reason is None:
                why = "; ".join(refusals) or ("the only form there is" if len(forms) == 1 else "first choice")
                parts.append(f"{kernel}: {form.name} ({why})")
                break
            refusals.append(f"{form.name}: {reason}")
    return ", ".join(parts)
