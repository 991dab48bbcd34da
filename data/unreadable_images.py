"""Tell which files look like images of a kind that cannot be read here, so that none is left out without a word."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from data.archive import Archive
from data.errors import DatasetError
from data.image_decoding import EXTENSIONS, is_hidden

NO_ENDING = "no ending"
_KINDS = {
    "HEIC": ".heic .heif .hif .heics .heifs",
    "RAW": ".raw .rwl .srw .pef .erf .mrw .3fr .x3f .iiq .kdc .dcr .mos .srf .sr2 .gpr",
    "PSD": ".psd .psb",
    "JPEG XL": ".jxl",
    "JPEG 2000": ".jpx .jpf .jpc .j2c",
}
_CALLED_BY_ENDING = (
    ".cr2 .cr3 .crw .nef .nrw .arw .raf .orf .rw2 .dng .xcf .kra .exr .hdr .svg .ico .icns .dds .qoi .pcx .pdf .eps .ai"
)
_KIND_OF = {ending: kind for kind, endings in _KINDS.items() for ending in endings.split()}
_KIND_OF |= {ending: ending[1:].upper() for ending in _CALLED_BY_ENDING.split()}
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"8BPS", b"\xff\x0a")
_MAX_HEADS_READ = 20_000  # of files without an ending


def unreadable_images(archive: Archive) -> list[tuple[str, str]]:
    """Return (name, kind) of each file that looks like an image but is not read; sorted by name."""
    found = []
    heads_read = 0
    for name in sorted(archive.sizes):
        ending = posixpath.splitext(name)[1].lower()
        if ending in EXTENSIONS or (ending and ending not in _KIND_OF) or is_hidden(name):
            continue
        if ending:
            found.append((name, _KIND_OF[ending]))
        elif heads_read < _MAX_HEADS_READ:
            heads_read += 1
            if _begins_as_image(archive, name):
                found.append((name, NO_ENDING))
    return found


def no_images_message(archive: Archive) -> str:
    """Say that a folder or zip holds no images that can be read, and what it holds instead."""
    unreadable = unreadable_images(archive)
    if not unreadable:
        return f"{archive.path} holds no pictures: put PNG or JPEG files into it."
    kinds = sorted({kind for _, kind in unreadable})
    if kinds == [NO_ENDING]:
        cure = f"{len(unreadable)} pictures whose names have no ending: add .png or .jpg to {unreadable[0][0]}"
    else:
        listed = _list(kind for kind in kinds if kind != NO_ENDING)
        cure = f"{listed}, which cannot be read: convert them to JPEG or PNG first, as {unreadable[0][0]}"
    return f"{archive.path} holds only {cure}."


def _list(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _begins_as_image(archive: Archive, name: str) -> bool:
    try:
        head = archive.head(name, 16)
    except DatasetError:
        return False
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:8] == b"ftyp"
