"""What is wrong with a dataset, in one sentence that says what to do."""

from __future__ import annotations


class DatasetError(ValueError):
    """A dataset that cannot be read or made; the text says what, where, and what to do."""


class PictureError(DatasetError):
    """One picture that cannot be read; the text is the reason alone, for a sentence that names the picture."""
