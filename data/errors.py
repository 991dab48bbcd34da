"""What is wrong with a dataset, in one sentence that says what to do."""

from __future__ import annotations


def one_line(text: str) -> str:
    """With what people's and strangers' names may hold, made fit for a terminal: control codes are spelt out."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class DatasetError(ValueError):
    """A dataset that cannot be read or made; the text says what, where, and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))


class ImageError(DatasetError):
    """One picture that cannot be read; the text is the reason alone, for a sentence that names the picture."""
