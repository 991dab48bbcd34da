"""Our network files are safetensors files: the safetensors library reads from them what we wrote."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open

from networks import load_network

NETWORKS = Path(__file__).parent.parent / "data" / "networks"


def test_the_safetensors_library_reads_our_files(tmp_path: Path) -> None:
    network = load_network(NETWORKS / "sg3r_32_uncond.pkl")
    for dtype in (torch.float32, torch.float16):
        path = network.save(tmp_path / f"{dtype}.safetensors", dtype)
        wanted = {
            f"{role}.{name}": value
            for role, own in network.networks().items()
            for name, value in own.state_dict().items()
        }
        with safe_open(path, "pt") as file:
            assert set(file.keys()) == set(wanted)  # noqa: SIM118  (an open file is no dict)
            for name, value in wanted.items():
                stored = file.get_tensor(name)
                assert stored.shape == value.shape
                assert torch.equal(stored.float(), value.to(stored.dtype).float())
            configuration = json.loads(file.metadata()["configuration"])
        assert set(configuration["networks"]) == {"G", "D", "G_ema"}
