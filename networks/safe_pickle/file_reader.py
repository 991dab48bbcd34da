"""A file read by position, in pieces, so that only the needed parts of a large network file are in memory."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from networks.errors import CheckpointError, corrupt

_CHUNK = 1 << 20  # bytes


class RandomAccessFile:
    """An open file for reading at any position. It is not memory-mapped: a mapped file that shrinks kills the process.

    Use it in a `with` block. Raises CheckpointError where the file cannot be opened or read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.exists() and not path.is_file():  # opening a pipe would block
                raise CheckpointError(f"{path} is no file; choose a network file or a run folder.", "foreign")
            self._file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise CheckpointError(f"There is no file {path}; check the name or choose another.", "foreign") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CheckpointError(
                f"{path} cannot be opened ({reason}); check its permissions or choose another.", "foreign"
            ) from None
        self._signature = self._stat()
        self.size = self._signature[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def full_range(self) -> ByteRange:
        """Return the range from the file's first to its last byte."""
        return ByteRange(self, 0, self.size)

    def read(self, start: int, length: int) -> bytes:
        """Read `length` bytes from `start`. Never allocates more than the file holds."""
        if start < 0 or length < 0 or start + length > self.size:
            raise corrupt(self.path, f"it breaks off after {self.size} bytes")
        try:
            self._file.seek(start)
            data = self._file.read(length)
        except OSError as error:
            raise corrupt(self.path, f"reading it failed ({error.strerror or error})") from None
        if data is None or len(data) < length:
            raise corrupt(self.path, f"it breaks off after {start + len(data or b'')} bytes")
        return data

    def read_into(self, start: int, target: memoryview) -> None:
        """Fill `target` (one-dimensional, writable bytes) from position `start`."""
        done = 0
        try:
            self._file.seek(start)
            while done < len(target):
                count = self._file.readinto(target[done : done + 64 * _CHUNK])
                if not count:
                    raise corrupt(self.path, f"it breaks off after {start + done} bytes")
                done += count
        except OSError as error:
            raise corrupt(self.path, f"reading it failed ({error.strerror or error})") from None

    def digest(self) -> str:
        """Return the SHA-256 of the whole file, in hexadecimal."""
        sha256 = hashlib.sha256()
        buffer = bytearray(_CHUNK)
        for start in range(0, self.size, _CHUNK):
            chunk = memoryview(buffer)[: min(_CHUNK, self.size - start)]
            self.read_into(start, chunk)
            sha256.update(chunk)
        return sha256.hexdigest()

    def check_unchanged(self) -> None:
        """Raise CheckpointError if the file's size or modification time has changed since it was opened."""
        if self._stat() != self._signature:
            raise corrupt(self.path, "it changed while it was being read")

    def _stat(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A range of bytes in a file that has not been read yet, such as a tensor's data."""

    file: RandomAccessFile
    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length

    def slice(self, start: int, length: int) -> ByteRange:
        """Return a part of this range; `start` is relative to it. Raises CheckpointError for a part outside of it."""
        if start < 0 or length < 0 or start + length > self.length:
            raise corrupt(self.file.path, f"it breaks off after {self.end} bytes")
        return ByteRange(self.file, self.start + start, length)

    def read(self) -> bytes:
        """Read all bytes of the range."""
        return self.file.read(self.start, self.length)
