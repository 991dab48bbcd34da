"""Limits for reading one file: a memory budget for the values of its pickle, and a maximum depth of nesting."""

from __future__ import annotations

from typing import Any

from networks.errors import FormatError

_BASE_BUDGET = 16 << 20  # bytes; the largest published networks need about 8 MB
_MAX_DEPTH = 200


class Budget:
    """Bytes that the values created while reading one file may still take: 16 MB plus a quarter of the file."""

    def __init__(self, file_size: int) -> None:
        self.left = _BASE_BUDGET + file_size // 4

    def charge(self, cost: int) -> None:
        """Subtract `cost` bytes. Raises BudgetExceeded where fewer are left."""
        self.left -= cost
        if self.left < 0:
            raise BudgetExceeded


class BudgetExceeded(Exception):
    """The values of a pickle take more memory than any network needs."""


def check_depth(value: Any) -> None:
    """Raise FormatError for containers nested more than 200 levels deep. Visits each value once."""
    level = [value]
    seen: set[int] = set()
    for _ in range(_MAX_DEPTH):
        deeper: list[Any] = []
        for item in level:
            if type(item) not in (dict, list, tuple) or id(item) in seen:
                continue
            seen.add(id(item))
            deeper.extend(item.values() if type(item) is dict else item)
        level = deeper
        if not level:
            return
    raise FormatError("its parts are nested too deeply")
