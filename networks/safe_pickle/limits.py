"""How much may be made of one file: a budget of memory for its description, and how deeply its parts may lie."""

from __future__ import annotations

from typing import Any

from networks.errors import FormatError

_BASE_BUDGET = 16 << 20  # bytes; the largest published networks take about 8 MB
_MAX_DEPTH = 200


class Budget:
    """What the values made while reading one file may still cost, in bytes."""

    def __init__(self, file_size: int) -> None:
        self.left = _BASE_BUDGET + file_size // 4

    def charge(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise BudgetExceeded


class BudgetExceeded(Exception):
    """A pickle that builds more than any network needs."""


def check_depth(value: Any) -> None:
    """Raise ValueError where containers lie deeper in each other than in any network. Visits each value once."""
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
