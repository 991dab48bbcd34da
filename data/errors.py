"""Errors of datasets: each message is one sentence that says what, where, and what to do."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Escape control characters, which names of files may contain, so that text is safe to print on a terminal."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class DatasetError(ValueError):
    """A dataset that cannot be read or written; the text says what, where, and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))


class ImageError(DatasetError):
    """An image that cannot be decoded; the text is the reason alone, for a sentence that names the image."""
