"""Fonts that are odd, as people's are: each costs a line of the table, and the rest is drawn."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dataset_makers import folder
from font_makers import (
    CAPITALS,
    ROBOTO,
    SMALL,
    Box,
    add,
    boxes,
    collection,
    font,
    noise,
    only_bitmaps,
    pictorial,
    symbol_cmap,
)
from fontTools.ttLib import TTFont

import cli
from data import Dataset

ROOT = Path(__file__).resolve().parent.parent.parent
GOOD = font(family="Good")


def letters(source: Path, dest: Path, *arguments: object) -> int:
    words = ["letters", "--source", source, "--dest", dest, "--resolution", "16x16", *arguments]
    return cli.run("dataset", [str(word) for word in words])


def swash(character: str) -> list[Box]:
    return [*boxes(character), (0, -900, 1500, -850)] if character == "Q" else boxes(character)


def small_capitals(character: str) -> list[Box]:
    """Small letters as capitals of seven tenths."""
    shape = [tuple(round(0.7 * edge) for edge in box) for box in boxes(character.upper())]
    return shape if character.islower() else boxes(character)  # type: ignore[return-value]


def same_for_both_cases(character: str) -> list[Box]:
    return boxes(character.upper())


def svg_for(count: int) -> Callable[[TTFont], None]:
    """Color for the first `count` glyphs, as an SVG table tells it."""
    record = struct.pack(">HHHII", 1, 1, count, 14, 5)
    return lambda opened: add(opened, "SVG ", struct.pack(">HII", 0, 10, 0) + record + b"<svg>")


def far_outside(opened: TTFont) -> None:
    vars(opened["head"])["unitsPerEm"] = 16


def without_names(opened: TTFont) -> None:
    del opened["name"]


def cut_map(opened: TTFont) -> None:
    add(opened, "cmap", b"\0\0\xff\xff\0\3\0\1\xff\xff\xff\xff")


#  file -> its bytes, and the line that tells of it ("" where it is drawn without a word)
ODD: dict[str, tuple[bytes, str]] = {
    "alike.ttf": (font(draw=lambda _: [(0, 0, 500, 700)]), "all characters alike"),
    "bitmaps.ttf": (font(change=only_bitmaps), "no outlines"),
    "blank.otf": (font(draw=lambda _: [], cff=True), "has none of the characters"),
    "color.ttf": (font(change=lambda opened: add(opened, "COLR", bytes(14))), "color font"),
    "color.woff2": (font(change=lambda opened: add(opened, "COLR", bytes(14)), flavor="woff2"), "color font"),
    "colored_svg.ttf": (font(change=svg_for(26)), "color font"),
    "cut.ttf": (ROBOTO.read_bytes()[:90_000], "cannot be read"),
    "cut.woff": (font(flavor="woff")[:-400], "cannot be read"),
    "cut.woff2": (font(flavor="woff2")[:-200], "cannot be read"),
    "cut_map.ttf": (font(change=cut_map), "duplicate"),  # FreeType finds the letters by the names of their glyphs
    "empty.ttf": (b"", "cannot be read"),
    "far.ttf": (font(change=far_outside), "cannot be read"),
    "few_svg.ttf": (font(change=svg_for(2), family="Few SVG", weight=7), ""),
    "greek.ttf": (font("ΑΒΓΔ"), "has none of the characters"),
    "half.ttf": (font(CAPITALS[:13], family="Half", weight=5), "lacks characters"),
    "head.ttf": (GOOD[:12], "cannot be read"),
    "html.ttf": (b"<!doctype html><html>not found</html>", "cannot be read"),
    "noise.otf": (noise(), "cannot be read"),
    "pictures.ttf": (font(change=pictorial), "symbol font"),
    "symbols.ttf": (font(change=symbol_cmap), "symbol font"),
    "symbols.woff": (font(change=symbol_cmap, flavor="woff"), "symbol font"),
    "swash.ttf": (font(draw=swash, family="Swash"), "too large beside the others"),
    "twin.woff2": (font(family="Another Name", flavor="woff2"), "duplicate"),
    "unnamed.ttf": (font(change=without_names, weight=3), ""),
    "variable.ttf": (font(family="Variable", weight=4, instances=["Thin", "Bold"]), ""),
    "wild_name.ttf": (font(family="Wi\x1b[31m\n" + "ld" * 400, weight=8), ""),
    "zoo.ttc": (collection(font(family="Zoo", weight=2), font(family="Zoo", style="Bold", weight=6)), ""),
}


def line(said: str, start: str) -> str:
    return next((line for line in said.splitlines() if line.startswith(start)), "")


@pytest.mark.parametrize("file", ODD)
def test_an_odd_font_is_told_in_the_line_of_its_kind(file: str, tmp_path: Path, capsys) -> None:
    data, kind = ODD[file]
    source = folder(tmp_path / "fonts", {"Good.ttf": GOOD, file: data})
    assert letters(source, tmp_path / "a.zip") == 0
    said = capsys.readouterr().out
    if kind:
        assert file in line(said, kind), said
        assert len(said.splitlines()) == 3, said
    else:
        assert len(said.splitlines()) == 1, said
    assert "\x1b" not in said


def test_a_folder_full_of_odd_fonts_makes_a_dataset_of_the_rest(tmp_path: Path) -> None:
    source = folder(tmp_path / "fonts", {"a/Good.TTF": GOOD, **{name: data for name, (data, _) in ODD.items()}})
    assert letters(source, tmp_path / "a.zip", "--workers", 2) == 0
    dataset = Dataset(tmp_path / "a.zip", use_labels=True)
    whole = {"Few SVG": 1, "Good": 1, "Variable": 2, "Zoo": 2, "unnamed": 1}
    found = Counter(family for family, _ in dataset.styles)
    wild = next(family for family in found if family.startswith("Wi"))
    assert len(wild) == 80 and wild.isprintable()
    assert found == {**whole, "Half": 1, "Swash": 1, wild: 1}
    assert len(dataset) == 26 * (7 + 1) + 13 + 25


def test_files_that_are_no_files_hold_nothing_up(tmp_path: Path, capsys) -> None:
    source = folder(tmp_path / "fonts", {"Good.ttf": GOOD})
    (source / "folder.ttf").mkdir()
    (source / "nowhere.ttf").symlink_to(source / "is_not_there.ttf")
    (source / "round.ttf").symlink_to(source / "round.ttf")
    assert letters(source, tmp_path / "a.zip") == 0
    told = line(capsys.readouterr().out, "cannot be read")
    assert "folder.ttf (a folder)" in told and "nowhere.ttf" in told and "round.ttf" in told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes among its files")
def test_a_pipe_called_a_font_is_not_waited_for(tmp_path: Path, capsys) -> None:
    source = folder(tmp_path / "fonts", {"Good.ttf": GOOD})
    os.mkfifo(source / "pipe.otf")
    assert letters(source, tmp_path / "a.zip") == 0
    assert "pipe.otf (no file)" in line(capsys.readouterr().out, "cannot be read")


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are another matter there")
def test_a_font_that_may_not_be_read_is_told() -> None:
    with tempfile.TemporaryDirectory() as name:  # not below pytest's own folder, which is for its owner alone
        place = folder(Path(name), {"fonts/Good.ttf": GOOD, "fonts/secret.ttf": font(weight=4)})
        (place / "fonts" / "secret.ttf").chmod(0)
        place.chmod(0o777)
        code = (
            "import os; from cli.dataset import main\n"
            "arguments = ['letters', '--resolution', '16', '--source', 'fonts', '--dest']\n"
            "main([*arguments, 'a.zip'])  # loads what others may not read\n"
            "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)  # root may read everything\n"
            "print('---'); main([*arguments, 'b.zip'])"
        )
        told = subprocess.run(
            [sys.executable, "-c", code],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert "secret.ttf (Permission denied)" in line(told.stdout.partition("---")[2], "cannot be read"), told.stderr


def test_only_odd_fonts_cost_one_sentence(tmp_path: Path, capsys) -> None:
    source = folder(tmp_path / "fonts", {"noise.ttf": noise(), "empty.otf": b""})
    assert letters(source, tmp_path / "a.zip") == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and "empty.otf (empty), cannot be read" in said
    assert not (tmp_path / "a.zip").exists()


def test_odd_fonts_can_be_left_out_or_refused(tmp_path: Path, capsys) -> None:
    source = folder(tmp_path / "fonts", {"Good.ttf": GOOD, "half.ttf": font(CAPITALS[:13], family="Half")})
    assert letters(source, tmp_path / "a.zip", "--on-problem", "skip") == 0
    assert Dataset(tmp_path / "a.zip", use_labels=True).styles == (("Good", "Regular"),)
    assert letters(source, tmp_path / "b.zip", "--on-problem", "refuse") == 2
    assert "half.ttf (N O P Q R S T U and 5 more)" in capsys.readouterr().out
    assert not (tmp_path / "b.zip").exists()


def test_capitals_in_the_place_of_small_letters_are_left_out(tmp_path: Path, capsys) -> None:
    data = font(CAPITALS + SMALL, draw=same_for_both_cases)
    assert letters(folder(tmp_path / "fonts", {"a.ttf": data}), tmp_path / "a.zip", "--characters", "A-Za-z") == 0
    assert "a.ttf (a b c d e f g h and 18 more)" in line(capsys.readouterr().out, "capitals for lower case")
    assert len(Dataset(tmp_path / "a.zip")) == 26


def test_small_capitals_are_drawn_and_told(tmp_path: Path, capsys) -> None:
    data = font(CAPITALS + SMALL, draw=small_capitals)
    source = folder(tmp_path / "fonts", {"a.ttf": data, "roboto.ttf": ROBOTO.read_bytes()})
    assert letters(source, tmp_path / "a.zip", "--characters", "a-z", "--on-problem", "skip") == 0
    told = line(capsys.readouterr().out, "small capitals for lower case")
    assert "a.ttf" in told and "roboto" not in told
    assert len(Dataset(tmp_path / "a.zip")) == 52


def test_a_file_of_very_many_styles_is_looked_at_so_far(tmp_path: Path, capsys) -> None:
    data = font("ABC", instances=[f"Style {index}" for index in range(80)])
    source = folder(tmp_path / "fonts", {"a.ttf": data})
    assert letters(source, tmp_path / "a.zip", "--characters", "A-C", "--max-styles", 100) == 0
    assert "a.ttf (only the first 64 looked at)" in line(capsys.readouterr().out, "too many styles")


def test_damaged_fonts_neither_crash_nor_hold_up(tmp_path: Path) -> None:
    """Bytes changed at random in every kind of file: whatever comes out, the good font is drawn."""
    random = np.random.RandomState(3)
    files: dict[str, bytes] = {"good.ttf": GOOD}
    kinds = [font(), font(cff=True), font(flavor="woff"), font(flavor="woff2"), font(instances=["A", "B"])]
    for number in range(60):
        data = bytearray(kinds[number % len(kinds)])
        for place in random.randint(0, len(data), random.randint(1, 12)):
            data[place] = random.randint(256)
        files[f"m{number}.ttf"] = bytes(data)
    assert letters(folder(tmp_path / "fonts", files), tmp_path / "a.zip", "--workers", 1) == 0
    assert ("Good", "Regular") in Dataset(tmp_path / "a.zip", use_labels=True).styles
