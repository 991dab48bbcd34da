"""Errors about network files. Each is one sentence: what happened, to which file, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

ErrorKind = Literal["foreign", "broken", "hostile", "memory", "download", "unwritable"]


class CheckpointError(Exception):
    """A network file could not be read or written; `str()` is one sentence for the status bar.

    `kind` is the reason: foreign (not a network file), broken (a network file that is damaged or inconsistent), hostile
    (it asks for code to be run; nothing was), memory (too large for this machine), download (it could not be fetched),
    unwritable (it could not be saved).
    """

    def __init__(self, sentence: str, kind: ErrorKind) -> None:
        super().__init__(sanitize(sentence, 1000))
        self.kind: ErrorKind = kind


class FormatError(ValueError):
    """A file's contents are invalid; the message continues "is a network file, but", and is not a whole sentence."""


def not_a_checkpoint(path: Path, what: str) -> CheckpointError:
    """Return the error of kind foreign; `what` continues the file's name: "is a web page ..."."""
    return CheckpointError(
        f"{sanitize(path.name)} {what}; choose a network file (.pkl, .pth or .safetensors).", "foreign"
    )


def corrupt(path: Path, what: str) -> CheckpointError:
    """Return the error of kind broken; `what` continues "is a network file, but": "it breaks off after 12 bytes"."""
    return CheckpointError(
        f"{sanitize(path.name)} is a network file, but {what}; fetch or copy it again, or choose another.", "broken"
    )


def unsafe(path: Path, what: str) -> CheckpointError:
    """Return the error of kind hostile; `what` continues the file's name: "wants to call os.system"."""
    return CheckpointError(
        f"{sanitize(path.name)} {what}; it was refused and nothing was run, so choose a file from a source you trust.",
        "hostile",
    )


def sanitize(text: str, longest: int = 80) -> str:
    """Make untrusted text fit for a message: printable, on one line, at most `longest` characters."""
    printable = "".join(character if character.isprintable() else "?" for character in text[: longest + 1])
    return printable if len(printable) <= longest else printable[: longest - 3] + "..."
