"""The central directory of a zip archive with uncompressed entries, as torch.save writes it.

Not Python's zipfile, because a damaged archive must neither exhaust memory nor raise one of many exception types.
Layout: PKWARE's APPNOTE, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (end records).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from networks.errors import corrupt
from networks.safe_pickle.file_reader import ByteRange, RandomAccessFile

LOCAL_HEADER_MAGIC = b"PK\x03\x04"
_END, _END64, _LOCATOR64, _ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_MAX_ENTRIES = 20_000
_MAX_NAME_BYTES = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in the archive."""

    header_offset: int  # of the local header, in the archive
    length: int  # of the data, in bytes
    compressed: bool  # or encrypted


class ZipDirectory:
    """Names and positions of the entries. Raises CheckpointError (broken) for a malformed archive."""

    def __init__(self, file: RandomAccessFile) -> None:
        self.file = file
        self.entries: dict[str, Entry] = {}
        count, size, start = self._read_end_record()
        if count > _MAX_ENTRIES or size > 2 * _MAX_NAME_BYTES * _MAX_ENTRIES:
            raise corrupt(file.path, f"its table of contents has {count} entries, far more than a network has")
        table = file.full_range().slice(start, size).read()
        at = 0
        for _ in range(count):
            at = self._read_entry(table, at)

    def entry_range(self, name: str) -> ByteRange:
        """Return the byte range of an entry's data. Raises CheckpointError (broken) if it is missing or compressed."""
        entry = self.entries.get(name)
        if entry is None:
            raise corrupt(self.file.path, f"its part {_shorten(name)} is missing")
        if entry.compressed:
            raise corrupt(self.file.path, f"its part {_shorten(name)} is compressed, which torch never does")
        header = self.file.full_range().slice(entry.header_offset, 30).read()
        if header[:4] != LOCAL_HEADER_MAGIC:
            raise corrupt(self.file.path, f"its part {_shorten(name)} is not where its table of contents says")
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        return self.file.full_range().slice(entry.header_offset + 30 + name_length + extra_length, entry.length)

    def _read_end_record(self) -> tuple[int, int, int]:
        """Return the number of entries and the size and offset of the directory, from the end-of-directory record."""
        tail_length = min(self.file.size, 22 + 0xFFFF)
        tail_start = self.file.size - tail_length
        tail = self.file.read(tail_start, tail_length)
        at = tail.rfind(_END)
        if at < 0 or at + 22 > len(tail):
            raise corrupt(self.file.path, f"it breaks off after {self.file.size} bytes, before its table of contents")
        count, size, start = struct.unpack("<HII", tail[at + 10 : at + 20])
        if count == 0xFFFF or size == 0xFFFFFFFF or start == 0xFFFFFFFF:
            locator = tail[at - 20 : at] if at >= 20 else b""
            if locator[:4] != _LOCATOR64:
                raise corrupt(self.file.path, "its table of contents cannot be found")
            (record_offset,) = struct.unpack("<Q", locator[8:16])
            record = self.file.full_range().slice(record_offset, 56).read()
            if record[:4] != _END64:
                raise corrupt(self.file.path, "its table of contents cannot be found")
            count, size, start = struct.unpack("<QQQ", record[32:56])
        return count, size, start

    def _read_entry(self, table: bytes, at: int) -> int:
        """Add the entry at offset `at` of the directory to `entries` and return the offset of the next one."""
        if table[at : at + 4] != _ENTRY or at + 46 > len(table):
            raise corrupt(self.file.path, "its table of contents breaks off")
        flags, method = struct.unpack("<HH", table[at + 8 : at + 12])
        compressed_length, length = struct.unpack("<II", table[at + 20 : at + 28])
        name_length, extra_length, comment_length = struct.unpack("<HHH", table[at + 28 : at + 34])
        (header,) = struct.unpack("<I", table[at + 42 : at + 46])
        name = table[at + 46 : at + 46 + name_length]
        extra = table[at + 46 + name_length : at + 46 + name_length + extra_length]
        if name_length > _MAX_NAME_BYTES:
            raise corrupt(self.file.path, "its table of contents has a name that is none")
        if 0xFFFFFFFF in (compressed_length, length, header):
            length, header = self._zip64_fields(extra, length, compressed_length, header)
        self.entries[name.decode("utf-8", "replace")] = Entry(header, length, method != 0 or bool(flags & 1))
        return at + 46 + name_length + extra_length + comment_length

    def _zip64_fields(self, extra: bytes, length: int, compressed_length: int, header: int) -> tuple[int, int]:
        """Return length and header offset of an entry of which one needs 64 bits, from its zip64 extra field."""
        at = 0
        while at + 4 <= len(extra):
            kind, size = struct.unpack("<HH", extra[at : at + 4])
            if kind == 1 and at + 4 + size <= len(extra):
                large = [number for (number,) in struct.iter_unpack("<Q", extra[at + 4 : at + 4 + size // 8 * 8])]
                values = [
                    large.pop(0) if value == 0xFFFFFFFF and large else value for value in (length, compressed_length)
                ]
                return values[0], large.pop(0) if header == 0xFFFFFFFF and large else header
            at += 4 + size
        raise corrupt(self.file.path, "its table of contents breaks off")


def _shorten(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[-60:])
