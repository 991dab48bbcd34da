"""Writing a file so that it is either the old one or the new one, never half: into a `.part` file, renamed when whole.

    with atomic_write(path) as part:
        part.write_bytes(data)

A process that is killed leaves its `.part` file behind; the next one that writes into the same folder removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

MIN_AGE = 5.0  # seconds since its last change before a part of a process that has ended is removed
MIN_AGE_ELSEWHERE = 24 * 3600.0  # the same for processes of other machines, which cannot be asked whether they live
SWEEP_INTERVAL = 60.0  # seconds between two sweeps of one folder by one process

_PART = re.compile(r"\..+\.(?P<machine>[0-9a-f]{6})-(?P<pid>\d+)-[0-9a-f]{4}\.part(\.[^.]+)?", re.DOTALL)
_last_sweep: dict[Path, float] = {}


@contextmanager
def atomic_write(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a path to write a file or folder at; rename it to `path` at the end of the block.

    If the block or the rename fails, what was at `path` stays and nothing is left behind. The parent folder must exist.

    Args:
        path: where the file will be.
        sync: flush the file to the disk before the rename, so that it survives a power failure, too.

    Raises:
        OSError: the file cannot be written or renamed.
    """
    part = new_part(path)
    try:
        yield part
        commit(part, path, sync=sync)
    finally:
        discard(part)


def new_part(path: Path, *, keep_suffix: bool = False) -> Path:
    """Return an unused hidden path beside `path`, and remove what ended processes have left in that folder.

    For writers that cannot use `atomic_write`, such as objects that stay open: they call `commit` or `discard` later.
    With `keep_suffix` the name ends in the suffix of `path`, for programs that derive the file format from it.
    """
    folder, now = path.parent.absolute(), time.monotonic()
    if now - _last_sweep.get(folder, -SWEEP_INTERVAL) >= SWEEP_INTERVAL:
        _last_sweep[folder] = now
        sweep_parts(folder)
    suffix = path.suffix if keep_suffix else ""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(2)}.part{suffix}")


def commit(part: Path, path: Path, *, sync: bool = True) -> None:
    """Rename a finished part to its path, replacing what is there. Raises OSError."""
    if sync and not part.is_dir():
        with part.open("r+b") as file:
            os.fsync(file.fileno())
    part.replace(path)


def discard(part: Path) -> None:
    """Remove a part, a file or a folder, if it is there."""
    with contextlib.suppress(OSError):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def sweep_parts(folder: Path) -> None:
    """Remove the parts in a folder whose process has ended. Errors are ignored."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _PART.fullmatch(entry.name)
            if match is None:
                continue
            is_local = match["machine"] == _machine() and os.name == "posix"
            if is_local and _is_running(int(match["pid"])):
                continue
            with contextlib.suppress(OSError):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > (MIN_AGE if is_local else MIN_AGE_ELSEWHERE):
                    discard(Path(entry.path))


@cache
def _machine() -> str:
    """Six digits for this host and its process namespace: containers number their processes independently."""
    namespace = 0
    with contextlib.suppress(OSError):
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:6]


def _is_running(pid: int) -> bool:
    """Whether a process of this machine is running. POSIX only: on Windows, os.kill would end it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # of another user
    return True
