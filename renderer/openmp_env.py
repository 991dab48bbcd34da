"""OpenMP environment: idle threads spin briefly, about as long as waking a thread takes, then sleep.

Without spinning, plain torch and training on two cores are 10 to 15 % slower. With GNU OpenMP's default of 300,000
iterations, processes that share the cores (window and renderer) slow each other down by up to twenty times.
"""

from __future__ import annotations

from collections.abc import Mapping

# A thousand iterations take 10 to 40 microseconds. Other OpenMP runtimes read the first variable only.
OPENMP_ENV = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}


def openmp_env(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to set before torch is imported; none if the user has set one of them."""
    return {} if OPENMP_ENV.keys() & environment.keys() else OPENMP_ENV
