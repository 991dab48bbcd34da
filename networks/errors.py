"""The one complaint about a network file, in one sentence: what happened, to which file, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

ErrorKind = Literal["foreign", "broken", "hostile", "memory", "download", "unwritable"]


class CheckpointError(Exception):
    """A network file could not be read or written; `str()` is one sentence for the status bar.

    `kind` tells what sort of trouble it is:
    foreign (not a network file at all), broken (a network file with something wrong in it), hostile (it asks for code
    to be run; nothing was), memory (the network is larger than this machine has room for), download (it did not
    arrive), unwritable (it could not be saved).
    """

    def __init__(self, sentence: str, kind: ErrorKind) -> None:
        super().__init__(sanitize(sentence, 1000))
        self.kind: ErrorKind = kind


class FormatError(ValueError):
    """What is wrong with a description, in words that fit behind "is a network file, but"."""


def not_a_checkpoint(path: Path, what: str) -> CheckpointError:
    """`what` follows the file's name: "is a web page ..."."""
    return CheckpointError(
        f"{sanitize(path.name)} {what}; choose a network file (.pkl, .pth or .safetensors).", "foreign"
    )


def corrupt(path: Path, what: str) -> CheckpointError:
    """`what` follows "is a network file, but": "it breaks off after 12 bytes"."""
    return CheckpointError(
        f"{sanitize(path.name)} is a network file, but {what}; fetch or copy it again, or choose another.", "broken"
    )


def unsafe(path: Path, what: str) -> CheckpointError:
    """`what` follows the file's name: "wants to call os.system"."""
    return CheckpointError(
        f"{sanitize(path.name)} {what}; it was refused and nothing was run, so choose a file from a source you trust.",
        "hostile",
    )


def sanitize(text: str, longest: int = 80) -> str:
    """Foreign text made fit for a sentence: one line, printable, not endless."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."
