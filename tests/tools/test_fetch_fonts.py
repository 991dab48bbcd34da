"""Fonts for the demo are taken by the licence that they state, and by nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from tools import fetch_fonts

ROBOTO = Path(__file__).resolve().parent.parent.parent / "assets" / "fonts" / "Roboto-Regular.ttf"
OFL = "Files: *\nCopyright: 2019 Somebody\nLicense: OFL-1.1\n\nFiles: debian/*\nLicense: GPL-2+\n"
SEVERAL = "Files: *\nLicense: OFL-1.1\n\nFiles: other/*\nLicense: GPL-3+\n"


def stating(copyright: str = "", licence: str = "", url: str = "") -> bytes:
    """Roboto, as if it said this of itself."""
    with TTFont(ROBOTO) as font:
        names = font["name"]
        for number, text in ((0, copyright), (13, licence), (14, url)):
            vars(names)["names"] = [record for record in vars(names)["names"] if record.nameID != number]
            if text:
                getattr(names, "setName")(text, number, 3, 1, 0x409)  # noqa: B009
        buffer = io.BytesIO()
        font.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("words", "statement", "licence"),
    [
        ({"licence": "This Font Software is licensed under the SIL Open Font License, Version 1.1."}, "", "OFL"),
        ({"url": "http://scripts.sil.org/OFL"}, "", "OFL"),
        ({"licence": "Licensed under the Apache License, Version 2.0"}, "", "Apache"),
        ({"licence": "Ubuntu Font Licence 1.0"}, "", "UFL"),
        ({"copyright": "(c) 2019 Somebody. All rights reserved."}, OFL, "OFL"),
        ({"copyright": "(c) 2019 Somebody."}, SEVERAL, ""),
        ({"copyright": "(c) 2019 Somebody."}, "free for all who like it", ""),
        ({"licence": "You may not modify this font. License: ask us."}, OFL, ""),
        ({"licence": "GNU General Public License with font exception"}, OFL, ""),
        ({}, "", ""),
    ],
)
def test_a_font_is_taken_by_its_own_words_or_else_its_package_s(
    words: dict[str, str], statement: str, licence: str
) -> None:
    font = fetch_fonts.judged("./usr/share/fonts/a.ttf", stating(**words), statement)
    assert (font.family, font.licence) == ("Roboto", licence)


def test_the_list_names_packages_and_what_is_left_out_of_them() -> None:
    packages, unwanted = fetch_fonts.listed(fetch_fonts.LIST)
    assert len(packages) == len(set(packages)) > 20
    assert all(name.startswith(("fonts-", "texlive-")) and " " not in name for name in packages)
    assert unwanted and all(pattern.startswith("*") for pattern in unwanted)
