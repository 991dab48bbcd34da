"""Datasets of images: reading them, preparing them from people's files, and the built-in planets and letters."""

from __future__ import annotations

from data.dataset import Dataset
from data.errors import DatasetError
from data.infinite_sampler import InfiniteSampler, infinite_sampler

__all__ = ["Dataset", "DatasetError", "InfiniteSampler", "infinite_sampler"]
