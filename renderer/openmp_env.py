"""How threads that share work wait for each other: a moment, as long as waking one takes, and then asleep.

Without the moment, plain torch and training on two cores are 10 to 15 % slower; with GNU OpenMP's own 300,000 turns,
processes that share the cores, as window and renderer do, take each other's time, up to twenty times as much.
"""

from __future__ import annotations

from collections.abc import Mapping

# A thousand turns are 10 to 40 microseconds. Other systems' OpenMP reads the first line only.
OPENMP_ENV = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}


def openmp_env(environment: Mapping[str, str]) -> dict[str, str]:
    """What is to be set before torch is loaded: nothing where somebody has chosen already."""
    return {} if OPENMP_ENV.keys() & environment.keys() else OPENMP_ENV
