"""Letters of many typefaces as a dataset: fonts found and judged, their characters drawn."""

from __future__ import annotations

from data.letters.characters import characters_of
from data.letters.source import Letters

__all__ = ["Letters", "characters_of"]
