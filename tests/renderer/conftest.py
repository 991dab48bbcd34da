"""Fixtures: small networks as files, and a renderer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from renderer_driver import RenderDriver
from small_networks import CONFIGS, make_network

from networks import save_networks
from ops import kernels
from renderer.client import SubprocessRenderer


@pytest.fixture(scope="session", autouse=True)
def same_arithmetic_in_every_process() -> Iterator[None]:
    """Images of two processes are compared bit for bit, so both use the same kernels and thread count."""
    kernels.load(wait=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    """Without gradients, as in the renderer, so that a test's own computation uses the same implementations."""
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of CONFIGS by name."""
    folder = tmp_path_factory.mktemp("networks")
    for name, config in CONFIGS.items():
        save_networks(folder / f"{name}.safetensors", {"G_ema": make_network(config)})
    return {name: folder / f"{name}.safetensors" for name in CONFIGS}


@pytest.fixture(scope="module")
def driver() -> Iterator[RenderDriver]:
    """A renderer in a subprocess, shared by the tests of a module that do not break it."""
    with SubprocessRenderer(threads=1) as client:
        yield RenderDriver(client)
