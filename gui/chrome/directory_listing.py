"""The content of a folder for the file dialog: folders first, then the files that can be opened."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runs import snapshot_names

MAX_ENTRIES = 5000  # entries of one folder
UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Entry:
    """One line of the listing."""

    name: str
    path: Path
    is_folder: bool
    size: int = 0
    modified: float = 0.0  # seconds since 1970


def list_entries(folder: Path, suffixes: Sequence[str]) -> tuple[Entry, ...]:
    """List folders and files with one of the suffixes, by name. Raises OSError where the folder cannot be read."""
    entries: list[Entry] = []
    with os.scandir(folder) as scan:
        for item in scan:
            if len(entries) >= MAX_ENTRIES:
                break
            if item.name.startswith("."):
                continue
            try:
                item.name.encode()  # names that are not valid Unicode cannot be shown
                is_folder = item.is_dir()
                if not is_folder and not item.name.lower().endswith(tuple(suffixes)):
                    continue
                stat = item.stat()
            except (OSError, UnicodeEncodeError):  # a dangling link, or deleted meanwhile
                continue
            entries.append(Entry(item.name, Path(item.path), is_folder, stat.st_size, stat.st_mtime))
    return tuple(sorted(entries, key=lambda entry: (not entry.is_folder, _natural_key(entry.name))))


def newest_snapshot(folder: Path) -> str:
    """The file name of the newest snapshot in a run folder; "" where there is none."""
    best, name = snapshot_names.Progress(-1), ""
    for place in (folder, folder / "snapshots"):
        try:
            with os.scandir(place) as scan:
                for item in scan:
                    progress = snapshot_names.parse(item.name)
                    if progress and progress > best and item.name.endswith((".pkl", ".safetensors")):
                        best, name = progress, item.name
        except OSError:
            continue
    return name


def format_size(size: int) -> str:
    """Bytes as text: "1.2 GB"."""
    if size < 1000:
        return f"{size} B"
    power = min(math.floor(math.log10(size) / 3 + 1e-4), 4)  # 999.8 kB reads as 1.0 MB
    number = size / 1000.0**power
    return f"{number:.0f} {UNITS[power]}" if number >= 9.95 else f"{number:.1f} {UNITS[power]}"


def _natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """A sort key in which snapshot-9 comes before snapshot-10."""
    parts = re.findall(r"\d+|\D+", name.lower())
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)
