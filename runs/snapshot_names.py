"""Names of network snapshots in a run folder: written by training, understood by whatever opens a run."""

from __future__ import annotations

import re
from typing import NamedTuple

# Globs in a run folder: ours, and NVIDIA's layout. The first takes any name, the others take snapshots alone.
PATTERNS = ("snapshots/*.safetensors", "network-snapshot-*.pkl", "network-snapshot-*.safetensors")
_NAME = re.compile(r"network-snapshot-(\d+)(?:_(\d{3}))?(?:\.(?:pkl|safetensors))?$")


class Progress(NamedTuple):
    """The training progress in a snapshot's name, as sorted."""

    kimg: int
    images: int = 0  # beyond kimg, 0 to 999


def make_label(images: int, previous_images: int | None) -> str:
    """Return the label of a snapshot after `images` images; the previous tick ended at `previous_images`, if any.

    The label is the thousands in six digits, as in StyleGAN2-ADA. Of ticks that end within one thousand, all but the
    first have the remainder appended: `000001_500`, which sorts between 000001 and 000002.
    """
    kimg, rest = divmod(images, 1000)
    first = previous_images is None or previous_images // 1000 < kimg
    return f"{kimg:06d}" if first else f"{kimg:06d}_{rest:03d}"


def make_file_name(label: str) -> str:
    """Return the file name of the snapshot with a label of `make_label`."""
    return f"network-snapshot-{label}.safetensors"


def parse(name: str) -> Progress | None:
    """Return the progress in a snapshot's file name, with or without its extension; None for other names."""
    match = _NAME.match(name)
    return Progress(int(match[1]), int(match[2] or 0)) if match else None
