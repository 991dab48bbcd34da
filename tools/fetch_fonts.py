"""Fonts to train letters on, from packages of a Debian system: `python tools/fetch_fonts.py --dest ~/fonts`.

Downloads the packages of tools/font_packages.txt with `apt-get download`, one at a time, installs nothing, and unpacks
fonts under a free licence into a folder for each package. LICENCES.tsv beside them lists file, family, style, licence
and the words that grant it. Called again it goes on with what is missing. Then:

python visualizer.py dataset letters --source ~/fonts --dest letters.zip --resolution 64x64
"""

from __future__ import annotations

import argparse
import fnmatch
import io
import logging
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fontTools.ttLib import TTFont, TTLibError

LIST = Path(__file__).resolve().with_name("font_packages.txt")
LICENCES = {
    "OFL": r"Open Font Licen[cs]e|SIL OFL|OFL version|scripts\.sil\.org/OFL|openfontlicense\.org|OFL-1\.1",
    "Apache": r"Apache Licen[cs]e|apache\.org/licenses",
    "UFL": r"Ubuntu Font Licen[cs]e",
}
PAUSE = 1.0  # seconds between downloads, for the mirror's sake
COLUMNS = ("file", "family", "style", "licence", "granted by")


class Failed(Exception):
    """A package that could not be had; the text says why."""


@dataclass(frozen=True)
class Font:
    """A font file as it lay in its package, with the licence it is under and the words that say so."""

    path: str
    data: bytes
    family: str
    style: str
    licence: str
    words: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dest", type=Path, required=True, help="folder for the fonts; what is there is kept")
    parser.add_argument("--list", type=Path, default=LIST, help="packages, one a line (tools/font_packages.txt)")
    options = parser.parse_args()
    logging.getLogger("fontTools").setLevel(logging.CRITICAL)
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        print(
            "This needs apt-get and dpkg-deb of a Debian system: elsewhere, give `dataset letters` fonts of your own."
        )
        return 2
    packages, unwanted = listed(options.list)
    failed = False
    for package in packages:
        if (options.dest / package).is_dir():
            print(f"{package}: already there")
            continue
        try:
            print(f"{package}: {fetch(package, unwanted, options.dest)}")
        except Failed as error:
            failed = True
            print(f"{package}: left out, {error}")
        time.sleep(PAUSE)
    rows = gathered(options.dest)
    print(f"{len(rows)} fonts of {len({row[1] for row in rows})} families -> {options.dest}")
    return 1 if failed else 0


def listed(path: Path) -> tuple[list[str], list[str]]:
    """The packages and the patterns of a list."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    packages = [line for line in lines if line and not line.startswith("!")]
    return packages, [line[1:].strip() for line in lines if line.startswith("!")]


def fetch(package: str, unwanted: list[str], dest: Path) -> str:
    """Download, choose and write the fonts of one package; returns what was done. Raises Failed."""
    with tempfile.TemporaryDirectory() as folder:
        archive = download(package, Path(folder))
        fonts, left_out = chosen(archive, unwanted)
    part = dest / f".{package}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    rows = []
    for font in fonts:
        place = part.joinpath(*PurePosixPath(font.path).parts[-2:])
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(font.data)
        rows.append(
            (f"{package}/{place.relative_to(part).as_posix()}", font.family, font.style, font.licence, font.words)
        )
    write_table(part / "LICENCES.tsv", rows)
    part.replace(dest / package)
    told = "".join(f"; left out: {count} {why}" for why, count in left_out.items())
    return f"{len(fonts)} fonts{told}"


def download(package: str, folder: Path) -> Path:
    command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.deb"))
    if done.returncode or not found:
        raise Failed(" ".join((done.stderr or "no file came").split())[:200])
    return found[0]


def chosen(archive: Path, unwanted: list[str]) -> tuple[list[Font], dict[str, int]]:
    """The fonts of a package under a free licence, and how many were left out for which reason."""
    files = dict(contents(archive))
    statement = next(
        (data.decode("utf-8", "replace") for name, data in files.items() if name.endswith("copyright")), ""
    )
    fonts: list[Font] = []
    left_out: dict[str, int] = {}
    for name, data in sorted(files.items()):
        if not name.lower().endswith((".ttf", ".otf")):
            continue
        if any(fnmatch.fnmatch(name, pattern) for pattern in unwanted):
            why = "unwanted"
        else:
            try:
                font = judged(name, data, statement)
            except (TTLibError, OSError, ValueError, KeyError, AssertionError):
                why = "unreadable"
            else:
                if font.licence:
                    fonts.append(font)
                    continue
                why = "under another licence or none"
        left_out[why] = left_out.get(why, 0) + 1
    return fonts, left_out


def contents(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Fonts and the copyright file of a Debian package."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout is not None
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as files:
            for entry in files:
                if entry.isfile() and entry.name.lower().endswith((".ttf", ".otf", "/copyright")):
                    stream = files.extractfile(entry)
                    if stream is not None:
                        yield entry.name, stream.read()


def judged(name: str, data: bytes, statement: str) -> Font:
    """A font with its licence: by its own words, else by a copyright file that names one free licence and no other."""
    with TTFont(io.BytesIO(data), lazy=True) as opened:
        names = opened["name"]
        text = {number: (names.getDebugName(number) or "").strip() for number in (0, 1, 2, 13, 14, 16, 17)}
    own = " ".join(" ".join((text[13], text[14], text[0])).split())
    licence = named(own)
    words = own
    if not licence and not re.search(r"licen[cs]|grant|permission|permit", own, re.IGNORECASE):
        licences = set(re.findall(r"(?m)^License: *(\S+)", statement.partition("Files: debian/")[0]))
        licence = named(licences.pop()) if len(licences) == 1 else ""
        words = "the package's copyright file (Debian)"
    return Font(name, data, text[16] or text[1], text[17] or text[2], licence, words[:160])


def named(words: str) -> str:
    """The free licence that words name, "" where they name none."""
    return next((name for name, pattern in LICENCES.items() if re.search(pattern, words, re.IGNORECASE)), "")


def gathered(dest: Path) -> list[list[str]]:
    """Every package's table as one, LICENCES.tsv of the whole folder."""
    rows = [
        line.split("\t") for path in sorted(dest.glob("*/LICENCES.tsv")) for line in path.read_text().splitlines()[1:]
    ]
    dest.mkdir(parents=True, exist_ok=True)
    write_table(dest / "LICENCES.tsv", rows)
    return rows


def write_table(path: Path, rows: list[tuple[str, ...]] | list[list[str]]) -> None:
    clean = [[re.sub(r"\s+", " ", cell) for cell in row] for row in rows]
    path.write_text("\n".join("\t".join(row) for row in [list(COLUMNS), *clean]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
