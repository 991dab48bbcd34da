"""Pictures to learn from: reading datasets, making them from what people have, and the built-in set of planets."""

from __future__ import annotations

from data.dataset import Dataset
from data.errors import DatasetError
from data.infinite_sampler import InfiniteSampler, infinite_sampler

__all__ = ["Dataset", "DatasetError", "InfiniteSampler", "infinite_sampler"]
