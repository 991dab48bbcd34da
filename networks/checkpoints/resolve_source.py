"""Resolves a network's source (a path, a URL, a run folder) to the files to try, the newest first."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from networks.checkpoints.download import Progress, fetch, is_url
from networks.errors import CheckpointError
from runs import snapshot_names

_MAX_CANDIDATES = 3  # snapshots of a run to try, as the newest may be incomplete


def resolve_source(source: str | Path, progress: Progress | None = None) -> list[Path]:
    """Return the file to read; for a run folder its newest snapshots, newest first.

    A run folder is ours (snapshots/*.safetensors) or in NVIDIA's layout (network-snapshot-000200.pkl). `progress` is
    called while a URL is fetched. Raises CheckpointError where there is nothing to read.
    """
    if isinstance(source, str) and is_url(source):
        return [fetch(source, progress=progress)]
    path = expand_home(source)
    with suppress(OSError):  # without permission to look; opening will then fail with a reason
        if path.is_dir():
            return _newest_snapshots(path)
    return [path]


def expand_home(path: str | Path) -> Path:
    """Replace a leading ~ by the home folder. Raises CheckpointError where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise CheckpointError(
            f"There is no home folder {Path(path).parts[0]}, so {path} cannot be found; give the whole path.", "foreign"
        ) from None


def _newest_snapshots(path: Path) -> list[Path]:
    found = [
        file for pattern in snapshot_names.PATTERNS for file in path.glob(pattern) if not file.name.startswith(".")
    ]
    if not found:
        raise CheckpointError(
            f"The folder {path} has no snapshot of a network yet; choose a run folder with "
            "snapshots/*.safetensors or network-snapshot-*.pkl in it.",
            "foreign",
        )
    return sorted(found, key=_sort_key, reverse=True)[:_MAX_CANDIDATES]


def _sort_key(file: Path) -> tuple[int, int, float, str]:
    """Sort by the training progress in a snapshot's name, of other names by their last number, then by time."""
    progress = snapshot_names.parse(file.name)
    if progress is None:
        numbers = re.findall(r"\d+", file.stem)
        progress = snapshot_names.Progress(int(numbers[-1][-15:]) if numbers else -1)
    try:
        changed = file.stat().st_mtime
    except OSError:
        changed = 0.0  # deleted since it was listed
    return progress.kimg, progress.images, changed, file.name
