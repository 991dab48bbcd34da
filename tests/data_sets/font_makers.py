"""Small fonts for tests: good ones and any kind of odd one, made by fontTools."""

from __future__ import annotations

import io
import string
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from fontTools.ttLib.tables.DefaultTable import DefaultTable
from fontTools.ttLib.tables.TupleVariation import TupleVariation

ROBOTO = Path(__file__).resolve().parent.parent.parent / "assets" / "fonts" / "Roboto-Regular.ttf"
CAPITALS = string.ascii_uppercase
SMALL = string.ascii_lowercase
Box = tuple[int, int, int, int]  # left, bottom, right, top in units of 1000 to the em


def boxes(character: str, weight: int = 1) -> list[Box]:
    """A picture of its own for each character: a stem, and bars where its number has ones; capitals are 700 high."""
    high = 100 if character.isupper() or not character.isalpha() else 70
    stem = (50, 0, 90 + 40 * weight, 7 * high)
    number = ord(character) * 40503 & 0x7F
    return [stem, *((50, row * high, 500, row * high + 60) for row in range(7) if number >> row & 1)]


def font(
    characters: Iterable[str] = CAPITALS,
    family: str | None = "Test Sans",
    style: str = "Regular",
    *,
    weight: int = 1,
    draw: Callable[[str], list[Box]] | None = None,
    cff: bool = False,
    flavor: str | None = None,
    change: Callable[[TTFont], None] | None = None,
    units: int = 1000,
    instances: Iterable[str] = (),
) -> bytes:
    """A font file. `draw` gives a character's boxes; `change` may spoil it before it is written."""
    names = {character: f"u{ord(character):04X}" for character in characters}
    drawn = {name: (draw or (lambda c: boxes(c, weight)))(character) for character, name in names.items()}
    drawn[".notdef"] = [(100, 0, 400, 500)]
    builder = FontBuilder(units, isTTF=not cff)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(character): name for character, name in names.items()})
    if cff:
        builder.setupCFF("Test", {}, {name: _charstring(found) for name, found in drawn.items()}, {})
    else:
        builder.setupGlyf({name: _outline(found) for name, found in drawn.items()})
    builder.setupHorizontalMetrics(dict.fromkeys(drawn, (600, 50)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": style} if family is not None else {})
    builder.setupOS2()
    builder.setupPost()
    if instances:
        given = [{"location": {"wght": 100 * place}, "stylename": name} for place, name in enumerate(instances, 1)]
        builder.setupFvar([("wght", 100, 100, 100 * len(given), "Weight")], given)
        wider = [(0, 0), (0, 0), (200, 0), (200, 0)]  # the stem's right side moves
        deltas = {name: wider + [(0, 0)] * (4 * len(drawn[name])) for name in names.values()}
        builder.setupGvar({name: [TupleVariation({"wght": (0, 1, 1)}, moved)] for name, moved in deltas.items()})
    if change:
        change(builder.font)
    builder.font.flavor = flavor
    buffer = io.BytesIO()
    builder.font.save(buffer)
    return buffer.getvalue()


def collection(*fonts: bytes) -> bytes:
    """Several fonts as one .ttc."""
    together = TTCollection()
    together.fonts = [TTFont(io.BytesIO(data)) for data in fonts]
    buffer = io.BytesIO()
    together.save(buffer)
    return buffer.getvalue()


def only_bitmaps(opened: TTFont) -> None:
    """No outlines, only (empty) tables of bitmaps, as old fonts for screens have them."""
    for tag in ("glyf", "loca"):
        del opened[tag]
    add(opened, "EBDT", b"\0\2\0\0")
    add(opened, "EBLC", b"\0\2\0\0\0\0\0\0")


def symbol_cmap(opened: TTFont) -> None:
    """Characters numbered as symbols are: from F000 on, by no Unicode."""
    [table] = [table for table in opened["cmap"].tables if (table.platformID, table.platEncID) == (3, 1)]
    table.platEncID = 0
    table.cmap = {0xF000 + code: name for code, name in table.cmap.items()}
    opened["cmap"].tables = [table]


def forget_style_names(opened: TTFont) -> None:
    """A variable font whose styles have no names any more, as subsets for the web may be."""
    names = opened["name"]
    vars(names)["names"] = [name for name in vars(names)["names"] if name.nameID < 256]


def pictorial(opened: TTFont) -> None:
    """Says of itself that it draws pictures."""
    vars(opened["OS/2"])["panose"].bFamilyType = 5


def add(opened: TTFont, tag: str, data: bytes) -> None:
    """A table as bytes."""
    table = DefaultTable(tag)
    vars(table)["data"] = data
    opened[tag] = table


def noise(size: int = 4000) -> bytes:
    return np.random.RandomState(0).bytes(size)


def _outline(found: list[Box]):
    pen = TTGlyphPen(None)
    _trace(pen, found)
    return pen.glyph()


def _charstring(found: list[Box]):
    pen = T2CharStringPen(600, None)
    _trace(pen, found)
    return pen.getCharString()


def _trace(pen: TTGlyphPen | T2CharStringPen, found: list[Box]) -> None:
    for left, bottom, right, top in found:
        pen.moveTo((left, bottom))
        pen.lineTo((left, top))
        pen.lineTo((right, top))
        pen.lineTo((right, bottom))
        pen.closePath()
