"""Fixtures for the tests of compiled kernels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ops import kernels


@pytest.fixture
def kernel() -> Iterator[None]:
    """Load the C++ kernel; skip the test where it is unavailable."""
    if not kernels.load(wait=True):
        pytest.skip(f"there is no C++ kernel: {kernels.unavailable_reason()}")
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
