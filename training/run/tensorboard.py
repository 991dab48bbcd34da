"""TensorBoard event files of a training, if tensorboard is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class TensorBoardWriter:
    """Writes one event file per session into the run folder; does nothing without tensorboard."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def write(self, stats: dict[str, dict[str, Any]], images: int) -> None:
        """Write and flush the means of a tick that ended after `images` images. Raises OSError."""
        if self._writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter  # type: ignore[import-not-found]
            except ImportError:
                return
            self._writer = SummaryWriter(str(self._folder))
        for name, value in stats.items():
            self._writer.add_scalar(name, value["mean"], global_step=images // 1000)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
