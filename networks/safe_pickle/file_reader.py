"""A file read by position, a piece at a time, so that only what is needed of a large network file is in memory."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from networks.errors import CheckpointError, corrupt

_CHUNK = 1 << 20


class RandomAccessFile:
    """An open file. Reads by position rather than by mapping: a mapped file that shrinks kills the process.

    Use it in a `with` block. Raises CheckpointError where the file cannot be opened or read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.exists() and not path.is_file():  # a pipe would let us wait for ever
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
        """The file from its first to its last byte."""
        return ByteRange(self, 0, self.size)

    def read(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`; never allocates more than the file holds."""
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
        """Fill `target` (flat, writable) from position `start`."""
        done = 0
        try:
            self._file.seek(start)
            while done < len(target):
                got = self._file.readinto(target[done : done + 64 * _CHUNK])
                if not got:
                    raise corrupt(self.path, f"it breaks off after {start + done} bytes")
                done += got
        except OSError as error:
            raise corrupt(self.path, f"reading it failed ({error.strerror or error})") from None

    def digest(self) -> str:
        """SHA-256 of the whole file, in hexadecimal."""
        total = hashlib.sha256()
        piece = bytearray(_CHUNK)
        for start in range(0, self.size, _CHUNK):
            part = memoryview(piece)[: min(_CHUNK, self.size - start)]
            self.read_into(start, part)
            total.update(part)
        return total.hexdigest()

    def check_unchanged(self) -> None:
        """Raise CheckpointError when somebody wrote to the file since it was opened."""
        if self._stat() != self._signature:
            raise corrupt(self.path, "it changed while it was being read")

    def _stat(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A stretch of a file that has not been read yet: where the bytes of a tensor lie."""

    file: RandomAccessFile
    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length

    def slice(self, start: int, length: int) -> ByteRange:
        """A stretch of this one, `start` counted from its beginning. Raises CheckpointError where it sticks out."""
        if start < 0 or length < 0 or start + length > self.length:
            raise corrupt(self.file.path, f"it breaks off after {self.end} bytes")
        return ByteRange(self.file, self.start + start, length)

    def read(self) -> bytes:
        return self.file.read(self.start, self.length)
