"""A run to work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from runs.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "runs", "stylegan3-t-planets")
    folder.write_description("train", {"batch": 4}, ["train"], {"bandlimit": "0"})
    return folder
