"""TensorBoard events of a training, where tensorboard is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Events:
    """One file of events a sitting, beside stats.jsonl; without tensorboard nothing is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def write(self, stats: dict[str, dict[str, Any]], images: int) -> None:
        """Add the means of a tick after `images` pictures; they are on the disk when this returns. Raises OSError."""
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
        """End the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
