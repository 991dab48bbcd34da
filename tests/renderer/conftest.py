"""The small networks as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_networks import CONFIGS, make_network

from networks import save_networks
from ops import kernels


@pytest.fixture(scope="session", autouse=True)
def same_arithmetic_in_every_process() -> Iterator[None]:
    """Pictures of two processes are compared bit for bit, so both use the same kernels and as many threads."""
    kernels.load(wait=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    """What a test computes beside the renderer, for comparison, runs by the forms that the renderer's pictures do."""
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of CONFIGS by name."""
    folder = tmp_path_factory.mktemp("networks")
    for name, config in CONFIGS.items():
        save_networks(folder / f"{name}.safetensors", {"G_ema": make_network(config)})
    return {name: folder / f"{name}.safetensors" for name in CONFIGS}
