"""The whole state of a training on disk: written beside and moved into place, the last two kept."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from runs.run_folder import RunError
from session.atomic_write import atomic_write

KEPT = 2
VERSION = 1


def save_state(folder: Path, images: int, state: dict[str, Any]) -> Path:
    """Write state/state-NNNNNNNNNN.pt for a training of `images` pictures, then drop all but the newest two.

    `state` is tensors and plain data. Raises OSError where it cannot be
    written; the states before stay whole.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"state-{images:010d}.pt"
    with atomic_write(path) as part, part.open("wb") as file:
        try:
            torch.save({"version": VERSION, **state}, file)
        except RuntimeError as error:  # how torch says that the disk is full
            raise OSError(28, f"the state cannot be written ({error})") from error
    for old in states(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def states(folder: Path) -> list[Path]:
    """The states there are, newest first."""
    return sorted(folder.glob("state-*.pt"), reverse=True)


def load_state(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole state (None where none was written yet), and sentences about those that are damaged.

    Raises RunError where all are damaged: to begin anew would write over what the run has made.
    """
    told = []
    for path in states(folder):
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    raise zipfile.BadZipFile
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict) or state.get("version") != VERSION:
                raise zipfile.BadZipFile
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile):
            told.append(f"{path.name} is damaged, so the state before it serves.")
            continue
        return state, told
    if told:
        raise RunError(
            f"No state in {folder} is whole, so the run cannot be continued; begin a new one with --resume "
            f"{folder.parent}, or remove the damaged states to train this one from its start."
        )
    return None, told
