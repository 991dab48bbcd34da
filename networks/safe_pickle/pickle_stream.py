"""Reads the bytes of a pickle in order: opcodes, numbers, lines and text, each checked against the file's length."""

from __future__ import annotations

import struct

from networks.errors import FormatError, corrupt
from networks.safe_pickle.file_reader import ByteRange
from networks.safe_pickle.limits import Budget

_WINDOW_BYTES = 1 << 16
_MAX_LINE = 4096


class PickleStream:
    """A byte range with a read position. Reads 64 KB ahead; what is skipped over (weights) is never read.

    Every method raises CheckpointError (broken) where the range ends too early.
    """

    def __init__(self, byte_range: ByteRange, budget: Budget) -> None:
        self.byte_range = byte_range
        self.budget = budget
        self.position = 0  # of the next byte to read, in the range
        self._window = b""
        self._window_start = 0

    def read_bytes(self, length: int) -> bytes:
        """Read `length` bytes."""
        offset = self.position - self._window_start
        if offset < 0 or offset + length > len(self._window):
            available = self.byte_range.length - self.position
            if length > available:
                raise corrupt(self.byte_range.file.path, f"it breaks off after {self.byte_range.end} bytes")
            self._window = self.byte_range.slice(self.position, min(max(length, _WINDOW_BYTES), available)).read()
            self._window_start = self.position
            offset = 0
        self.position += length
        return self._window[offset : offset + length]

    def read_line(self) -> bytes:
        """Read up to the next line feed, without it. Raises FormatError for a line of more than 4 KB."""
        available = min(_MAX_LINE, self.byte_range.length - self.position)
        line, newline, _ = self.byte_range.slice(self.position, available).read().partition(b"\n")
        if not newline:
            raise FormatError("it has a line without an end")
        self.position += len(line) + 1
        return line.rstrip(b"\r")

    def read_struct(self, form: str) -> int:
        """Read one number in a format of the `struct` module."""
        return struct.unpack(form, self.read_bytes(struct.calcsize(form)))[0]

    def read_text(self, length: int, encoding: str, errors: str = "strict") -> str:
        """Read `length` bytes of text. Raises BudgetExceeded for more than the file may hold."""
        self.check_available(length)
        self.budget.charge(4 * length)
        return str(self.read_bytes(length), encoding, errors)

    def skip(self, length: int) -> ByteRange:
        """Step over `length` bytes and return where they lie, without reading them."""
        skipped = self.byte_range.slice(self.position, length)
        self.position += length
        return skipped

    def check_available(self, length: int) -> None:
        """Raise CheckpointError unless at least `length` bytes remain."""
        self.byte_range.slice(self.position, length)
