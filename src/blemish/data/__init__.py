"""Data sets: which images there are, what is known of them, and how they are read."""

from __future__ import annotations

from blemish.data.dataset import Dataset
from blemish.data.sample import Sample

__all__ = ["Dataset", "Sample"]
