"""The small networks as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_networks import CONFIGS, make_network

from networks import save_networks


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of CONFIGS by name."""
    folder = tmp_path_factory.mktemp("networks")
    for name, config in CONFIGS.items():
        save_networks(folder / f"{name}.safetensors", {"G_ema": make_network(config)})
    return {name: folder / f"{name}.safetensors" for name in CONFIGS}
