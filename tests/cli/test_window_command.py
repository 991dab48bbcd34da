"""Without a display, the program demonstrates itself off-screen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_commands import NETWORKS, ROOT, pixels


@pytest.mark.parametrize("display", [{}, {"DISPLAY": ":4711"}], ids=["none", "one that cannot be opened"])
def test_without_a_display_the_program_leaves_a_screenshot_and_a_video(tmp_path: Path, display: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= display
    command = [sys.executable, ROOT / "visualizer.py", NETWORKS / "sg3r_32_uncond.pkl", "--out", tmp_path / "out"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Running off-screen instead" in done.stdout.splitlines()[0]
    assert done.stderr == ""
    shot = pixels(tmp_path / "out" / "screenshot.png")
    assert shot.shape == (800, 1280, 3) and shot.std() > 5
    frames = read_frames(tmp_path / "out" / "demo.mp4")
    assert len(frames) >= 48
    assert np.abs(frames[0] - frames[len(frames) // 2]).mean() > 1  # something moved
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["demo.mp4", "screenshot.png"]


def read_frames(path: Path) -> list[np.ndarray]:
    """The frames of a film, small, decoded by ffmpeg itself."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", path, "-vf", "scale=160:100"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return list(np.frombuffer(data, np.uint8).reshape(-1, 100, 160, 3).astype(int))
