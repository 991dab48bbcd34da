"""The one complaint about a network file, in one sentence: what happened, to which file, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["foreign", "broken", "hostile", "memory", "download", "unwritable"]


class CheckpointError(Exception):
    """A network file could not be read or written; `str()` is one sentence for the status bar.

    `kind` tells what sort of trouble it is:
    foreign (not a network file at all), broken (a network file with something wrong in it), hostile (it asks for code
    to be run; nothing was), memory (the network is larger than this machine has room for), download (it did not
    arrive), unwritable (it could not be saved).
    """

    def __init__(self, sentence: str, kind: Kind) -> None:
        super().__init__(plain(sentence, 1000))
        self.kind: Kind = kind


class Flaw(ValueError):
    """What is wrong with a description, in words that fit behind "is a network file, but"."""


def foreign(path: Path, what: str) -> CheckpointError:
    """`what` follows the file's name: "is a web page ..."."""
    return CheckpointError(f"{plain(path.name)} {what}; choose a network file (.pkl, .pth or .safetensors).", "foreign")


def broken(path: Path, what: str) -> CheckpointError:
    """`what` follows "is a network file, but": "it breaks off after 12 bytes"."""
    return CheckpointError(
        f"{plain(path.name)} is a network file, but {what}; fetch or copy it again, or choose another.", "broken"
    )


def hostile(path: Path, what: str) -> CheckpointError:
    """`what` follows the file's name: "wants to call os.system"."""
    return CheckpointError(
        f"{plain(path.name)} {what}; it was refused and nothing was run, so choose a file from a source you trust.",
        "hostile",
    )


def plain(text: str, longest: int = 80) -> str:
    """Foreign text made fit for a sentence: one line, printable, not endless."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."
