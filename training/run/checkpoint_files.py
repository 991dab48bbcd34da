"""State files of a training run: written atomically, the newest two kept."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from runs.run_folder import RunError
from session.atomic_write import atomic_write

NUM_KEPT = 2
VERSION = 1


def save_state(folder: Path, images: int, state: dict[str, Any]) -> Path:
    """Write state-NNNNNNNNNN.pt for a training of `images` images, then delete all but the newest two.

    state: tensors and plain data. Raises OSError if it cannot be written; earlier states stay intact.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"state-{images:010d}.pt"
    with atomic_write(path) as part, part.open("wb") as file:
        try:
            torch.save({"version": VERSION, **state}, file)
        except RuntimeError as error:  # how torch says that the disk is full
            raise OSError(28, f"the state cannot be written ({error})") from error
    for old in list_states(folder)[NUM_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def list_states(folder: Path) -> list[Path]:
    """Return the paths of the state files, newest first."""
    return sorted(folder.glob("state-*.pt"), reverse=True)


def load_state(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Load the newest intact state (None if there are no states), and messages about damaged ones.

    Raises RunError if all are damaged: starting over would overwrite the run's results.
    """
    messages = []
    for path in list_states(folder):
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    raise zipfile.BadZipFile
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict) or state.get("version") != VERSION:
                raise zipfile.BadZipFile
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile):
            messages.append(f"{path.name} is damaged, so the state before it serves.")
            continue
        return state, messages
    if messages:
        raise RunError(
            f"No state in {folder} is whole, so the run cannot be continued; begin a new one with --resume "
            f"{folder.parent}, or remove the damaged states to train this one from its start."
        )
    return None, messages
