"""Digests of the images of a folder, to notice that files were replaced under the same names and lengths.

A zip needs none: its directory has a checksum of every image, which `Dataset.fingerprint` covers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from data.archive import Archive

SAMPLED = 256  # images read for the sample, evenly spaced
BLOCKS = 64  # parts of a dataset that have a digest each
_HEAD_BYTES = 1 << 18  # of each sampled image


def sample_digest(archive: Archive) -> str:
    """Hash the first 256 KB of up to 256 images. Raises DatasetError if one cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    if not archive.is_zip:
        names = archive.images
        for name in names[:: -(-len(names) // SAMPLED)]:
            _add(digest, name, archive.head(name, _HEAD_BYTES))
    return digest.hexdigest()


def blocks(archive: Archive) -> list[Sequence[str]]:
    """Split the names of the images of a folder into up to 64 blocks; none for a zip."""
    names = archive.images
    size = -(-len(names) // BLOCKS)
    return [] if archive.is_zip else [names[start : start + size] for start in range(0, len(names), size)]


def block_digest(archive: Archive, names: Sequence[str], keep_on: Callable[[], bool]) -> str | None:
    """Hash whole images; None if `keep_on`, called after each, says no. Raises DatasetError if one cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        _add(digest, name, archive.read(name))
        if not keep_on():
            return None
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, name: str, content: bytes) -> None:
    digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogatepass"))
    digest.update(content)
