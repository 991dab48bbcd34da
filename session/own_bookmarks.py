"""The user's own bookmarks: scenes in a folder of session files that can be copied, shared and put back.

Each is `3 Red moon.yaml`: its place in the row, and its name. Deleted ones move to the subfolder `deleted`.
"""

from __future__ import annotations

import re
from pathlib import Path

from session import codec
from session.bookmarks import NamedScene
from session.document import Session
from session.scene import Scene

DELETED = "deleted"
MAX_NAME = 60  # characters
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')  # in names of files, on any system
_last_read: tuple[Path, object, tuple[NamedScene, ...], tuple[str, ...]] | None = None


def own_bookmarks(folder: Path) -> tuple[tuple[NamedScene, ...], tuple[str, ...]]:
    """Return the bookmarks of a folder in their order, and a sentence for each file that cannot be read.

    Files are read again only when a name, size or time in the folder has changed.
    """
    global _last_read
    paths = _paths(folder)
    state = [(path.name, facts.st_mtime_ns, facts.st_size) for path in paths if (facts := _facts(path)) is not None]
    if _last_read is None or _last_read[:2] != (folder, state):
        entries, problems = [], []
        for path in paths:
            try:
                entries.append(NamedScene(name_of(path), codec.load(path).scene, path))
            except codec.SessionError as error:
                problems.append(str(error))
        _last_read = folder, state, tuple(entries), tuple(problems)
    return _last_read[2], _last_read[3]


def add(folder: Path, name: str, scene: Scene) -> Path:
    """Write a scene as the last bookmark and return its file. Raises OSError."""
    numbers = [number for path in _paths(folder) if (number := _number(path)) is not None]
    path = folder / f"{max(numbers, default=0) + 1} {clean_name(name)}.yaml"
    codec.save(path, Session((scene,)))
    return path


def rename(path: Path, name: str) -> Path:
    """Give a bookmark another name; its place stays. Returns its file. Raises OSError."""
    number = _number(path)
    return _move(path, path.with_name((f"{number} " if number is not None else "") + f"{clean_name(name)}.yaml"))


def reorder(folder: Path, path: Path, steps: int) -> None:
    """Move a bookmark by some places in its row, to the left where `steps` is negative. Raises OSError."""
    paths = _paths(folder)
    index = paths.index(path)
    paths.insert(min(max(index + steps, 0), len(paths) - 1), paths.pop(index))
    for number, file in enumerate(paths, 1):
        if _number(file) != number:
            _move(file, file.with_name(f"{number} {name_of(file)}.yaml"))


def delete(path: Path) -> Path:
    """Move a bookmark into the subfolder of deleted ones and return its file there. Raises OSError."""
    (path.parent / DELETED).mkdir(exist_ok=True)
    return _move(path, path.parent / DELETED / path.name)


def name_of(path: Path) -> str:
    """Return a bookmark's name, from that of its file."""
    return path.stem.lstrip("0123456789").strip() or path.stem


def clean_name(name: str) -> str:
    """Return a name as it can stand in that of a file on any system."""
    name = _FORBIDDEN.sub(" ", name).strip().lstrip("0123456789").strip(" .")
    return " ".join(name[:MAX_NAME].split()) or "Bookmark"


def _paths(folder: Path) -> list[Path]:
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() == ".yaml" and not path.name.startswith(".")]
    except OSError:
        return []
    return sorted(files, key=lambda path: (_number(path) is None, _number(path) or 0, path.name))


def _number(path: Path) -> int | None:
    digits = re.match(r"[0-9]{1,9}(?=\D|$)", path.stem)
    return int(digits[0]) if digits else None


def _facts(path: Path):
    try:
        return path.stat()
    except OSError:
        return None


def _move(path: Path, to: Path) -> Path:
    """Rename a file without ever replacing another."""
    attempt = 2
    target = to
    while target != path and target.exists():
        target = to.with_name(f"{to.stem} ({attempt}){to.suffix}")
        attempt += 1
    return path.replace(target) if target != path else path
