"""The demonstration in windows of any size that --size allows."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import cli


@pytest.mark.parametrize("size", ["320x240", "1280x240", "320x900"])
def test_a_small_window_is_demonstrated_as_far_as_it_can_be_reached(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.window.DEMO_SECONDS", 1.0)
    assert cli.run("window", ["--offscreen", "--size", size, "--out", str(tmp_path)]) == 0
    with Image.open(tmp_path / "screenshot.png") as image:
        assert image.size == tuple(int(side) for side in size.split("x"))
    assert (tmp_path / "demo.mp4").stat().st_size > 1000
