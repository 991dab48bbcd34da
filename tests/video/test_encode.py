"""Videos have the frames, size and colors that were written, or do not exist."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from video.encode import VideoError, VideoWriter


@pytest.mark.parametrize("channels", [3, 4])
def test_every_frame_comes_back_in_its_color(tmp_path: Path, channels: int) -> None:
    colors = [(200, 60, 30), (20, 180, 90), (0, 0, 0), (255, 255, 255)]
    with VideoWriter(tmp_path / "new" / "a.mp4", 65, 33, fps=10) as video:  # odd sizes gain a row and a column
        for color in colors:
            video.write(np.full((33, 65, channels), (*color, 255)[:channels], np.uint8))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", tmp_path / "new" / "a.mp4"]
    data = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True
    ).stdout
    frames = np.frombuffer(data, np.uint8).reshape(-1, 34, 66, 3)
    assert len(frames) == len(colors)
    for frame, color in zip(frames, colors, strict=True):
        assert np.abs(frame[16, 32].astype(int) - color).max() <= 3  # 8-bit YCbCr rounds
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.mp4"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    frame = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(RuntimeError, match="stop"), VideoWriter(tmp_path / "a.mp4", 16, 16) as video:
        video.write(frame)
        raise RuntimeError("stop")
    with pytest.raises(VideoError, match="16x16"), VideoWriter(tmp_path / "b.mp4", 16, 16) as video:
        video.write(np.zeros((8, 16, 3), np.uint8))
    with pytest.raises(VideoError, match="no frames"), VideoWriter(tmp_path / "c.mp4", 16, 16):
        pass
    with pytest.raises(VideoError, match="nothing.xyz"), VideoWriter(tmp_path / "nothing.xyz", 16, 16) as video:
        for _ in range(1000):
            video.write(frame)
    assert list(tmp_path.iterdir()) == []
