"""What kind of font a file is, from its list of tables: outlines, bitmaps, color, symbols, several in one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from data.errors import DatasetError

SUFFIXES = (".ttf", ".otf", ".ttc", ".otc", ".woff", ".woff2")
_OUTLINES = {b"glyf", b"CFF ", b"CFF2"}
_COLORS = {b"COLR", b"CBDT", b"sbix", b"SVG "}
_READ = {b"cmap", b"OS/2", b"SVG ", b"maxp"}
_SFNT = {b"\0\1\0\0", b"OTTO", b"true"}
_MOST_FONTS, _LARGEST, _LARGEST_TABLE = 256, 1 << 28, 1 << 26
_PICTORIAL = 5  # the first number of PANOSE, where it is a pictorial (symbol) font
# Tables that WOFF2 names by number, as far as we ask for them (WOFF File Format 2.0, section 4.1).
_WOFF2 = {10: b"glyf", 11: b"loca", 13: b"CFF ", 32: b"CBDT", 34: b"COLR", 36: b"SVG ", 37: b"sbix", 47: b"fvar"}


class FontError(DatasetError):
    """A font that cannot be drawn; the text is the reason alone, for a table that names the file."""


@dataclass(frozen=True)
class FontFile:
    """How many fonts a file holds, and, of the first, how it draws and whether it has styles to choose from."""

    fonts: int
    has_outlines: bool
    is_color: bool
    is_symbol: bool
    is_variable: bool


def inspected(data: bytes) -> FontFile:
    """Raises FontError where it is no font, or cut off."""
    if not data:
        raise FontError("empty")
    try:
        kind = data[:4]
        if kind in (b"wOFF", b"wOF2") and struct.unpack_from(">I", data, 16)[0] > _LARGEST:
            raise FontError("unpacks to more than 256 MB")
        if kind == b"wOF2":
            return _described(1, dict.fromkeys(_woff2_tags(data), b""))
        if kind == b"wOFF":
            return _described(1, dict(_woff_tables(data)))
        fonts, start = 1, 0
        if kind == b"ttcf":
            fonts, start = struct.unpack_from(">II", data, 8)
            if not 1 <= fonts <= _MOST_FONTS:
                raise FontError(f"{fonts} fonts in one file")
        if data[start : start + 4] not in _SFNT:
            raise FontError("no font")
        return _described(fonts, dict(_sfnt_tables(data, start)))
    except (struct.error, IndexError):
        raise FontError("cut off") from None


def _described(fonts: int, tables: dict[bytes, bytes]) -> FontFile:
    has_outlines = bool(tables.keys() & _OUTLINES)
    is_color = bool(tables.keys() & _COLORS) and not (has_outlines and _few_in_color(tables))
    is_symbol = _draws_symbols(tables.get(b"cmap", b""), tables.get(b"OS/2", b""))
    return FontFile(fonts, has_outlines, is_color, is_symbol, b"fvar" in tables)


def _few_in_color(tables: dict[bytes, bytes]) -> bool:
    """Whether color is only for a few signs of a font for text, as in Source Code Pro: below a tenth of its glyphs."""
    svg, glyphs = tables.get(b"SVG ", b""), tables.get(b"maxp", b"")[4:6]
    if tables.keys() & _COLORS != {b"SVG "} or not svg or not glyphs:
        return False
    start = struct.unpack_from(">I", svg, 2)[0]
    count = struct.unpack_from(">H", svg, start)[0]
    ranges = [struct.unpack_from(">HH", svg, start + 2 + 12 * place) for place in range(count)]
    return sum(last - first + 1 for first, last in ranges) < struct.unpack(">H", glyphs)[0] / 10


def _draws_symbols(cmap: bytes, os2: bytes) -> bool:
    """Whether its characters are numbered as symbols, not by Unicode, or it says that it is pictorial."""
    count = struct.unpack_from(">H", cmap, 2)[0] if len(cmap) >= 4 else 0
    encodings = [struct.unpack_from(">HH", cmap, 4 + 8 * i) for i in range(min(count, (len(cmap) - 4) // 8))]
    by_unicode = any(platform == 0 or (platform == 3 and kind in (1, 10)) for platform, kind in encodings)
    return ((3, 0) in encodings and not by_unicode) or os2[32:33] == bytes([_PICTORIAL])


def _sfnt_tables(data: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    for place in range(struct.unpack_from(">H", data, start + 4)[0]):
        tag, _, offset, length = struct.unpack_from(">4sIII", data, start + 12 + 16 * place)
        if offset + length > len(data):
            raise FontError("cut off")
        yield tag, data[offset : offset + length] if tag in _READ else b""


def _woff_tables(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for place in range(struct.unpack_from(">H", data, 12)[0]):
        tag, offset, packed, length, _ = struct.unpack_from(">4sIIII", data, 44 + 20 * place)
        if offset + packed > len(data):
            raise FontError("cut off")
        table = b""
        if tag in _READ and length <= _LARGEST_TABLE:
            table = data[offset : offset + packed]
            if packed < length:
                try:
                    table = zlib.decompressobj().decompress(table, length)
                except zlib.error:
                    raise FontError("damaged") from None
        yield tag, table


def _woff2_tags(data: bytes) -> Iterator[bytes]:
    """Tags alone: the tables are packed together, and not unpacked here."""
    count, _, _, packed = struct.unpack_from(">HHII", data, 12)
    place = 48
    for _ in range(count):
        flags = data[place]
        number, version = flags & 0x3F, flags >> 6
        place += 1
        if number == 0x3F:
            tag = data[place : place + 4]
            place += 4
        else:
            tag = _WOFF2.get(number, b"")
        place = _after_number(data, place)
        if version != (3 if tag in (b"glyf", b"loca") else 0):  # transformed: a second length
            place = _after_number(data, place)
        yield tag
    if place + packed > len(data):
        raise FontError("cut off")


def _after_number(data: bytes, place: int) -> int:
    """The place behind a length of 7 bits a byte."""
    for _ in range(5):
        place += 1
        if not data[place - 1] & 0x80:
            return place
    raise FontError("damaged")
