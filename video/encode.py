"""Encodes frames to an MP4 with correct colors in every player, with the ffmpeg of imageio-ffmpeg.

    with VideoWriter(Path("walk.mp4"), width, height, fps=30) as video:
        video.write(pixels)                     # uint8 [H,W,3] or [H,W,4]

The file appears under its name only when it is whole; an exception inside the block leaves nothing behind.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import imageio_ffmpeg
import numpy as np

from session.atomic_write import commit, discard, new_part


class VideoError(RuntimeError):
    """A video could not be written; one sentence with the reason."""


# Full-range RGB to limited-range BT.709, which players expect, tagged in the stream; odd sizes are padded by one.
TO_BT709 = (
    "pad=ceil(iw/2)*2:ceil(ih/2)*2,scale=in_range=pc:out_range=tv:out_color_matrix=bt709,format=yuv420p,"
    "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
)


class VideoWriter:
    """Writes H.264 with constant quality: `crf` 0 is lossless, 18 visually lossless, 51 worst. Raises VideoError."""

    def __init__(self, path: Path, width: int, height: int, fps: float = 30, crf: int = 18) -> None:
        self.path, self.width, self.height = path, width, height
        self.frames = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._part = new_part(path, keep_suffix=True)  # ffmpeg derives the container from it
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
        command += ["-vf", TO_BT709, "-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf)]
        command += ["-movflags", "+faststart", str(self._part)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=self._errors)

    def write(self, pixels: np.ndarray) -> None:
        """Add one frame, uint8 [H, W, 3 or 4]; blocks while the encoder is behind, so memory stays bounded."""
        if pixels.shape[:2] != (self.height, self.width) or pixels.dtype != np.uint8:
            size = f"{pixels.shape[1]}x{pixels.shape[0]}"
            raise VideoError(f"A frame is {size} {pixels.dtype}, the film {self.width}x{self.height} uint8.")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(pixels[..., :3]).data)
        except BrokenPipeError as error:
            raise VideoError(self._error_message()) from error
        self.frames += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
            else:
                self._process.kill()
                self._process.communicate()
        finally:
            discard(self._part)
            self._errors.close()

    def _finish(self) -> None:
        self._process.communicate()  # closes the pipe, which ends the video
        if self._process.returncode or self.frames == 0:
            raise VideoError(
                self._error_message() if self.frames else f"{self.path.name} would have no frames: nothing was written."
            )
        commit(self._part, self.path)

    def _error_message(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        reason = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{self.path.name} could not be written: {reason[-1] if reason else 'ffmpeg stopped'}."
