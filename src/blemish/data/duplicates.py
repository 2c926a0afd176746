"""Images whose pixels, or whose files, are identical."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.data.sample import Sample


def content_hash(pixels: NDArray[np.uint8]) -> str:
    """A fingerprint of decoded pixels, so that the same picture in two file formats counts as one.

    Args:
        pixels: uint8, any shape; the shape is part of the fingerprint.
    """
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Duplicates:
    """Two or more samples with identical pixels, sorted by path."""

    samples: tuple[Sample, ...]

    @property
    def leaks(self) -> bool:
        """Whether one of them trains and another tests, which flatters every test result."""
        return len({sample.split for sample in self.samples}) > 1

    @property
    def contradicts(self) -> bool:
        """Whether they have different labels, defects or products."""
        return len({(sample.label, sample.defect, sample.product) for sample in self.samples}) > 1

    def to_dict(self) -> dict[str, Any]:
        return {
            "paths": [sample.path.as_posix() for sample in self.samples],
            "across_train_and_test": self.leaks,
            "contradicting_labels": self.contradicts,
        }


def find_duplicates(hashed: Iterable[tuple[Sample, str]]) -> tuple[Duplicates, ...]:
    """All sets of samples that share a fingerprint, sorted by first path."""
    by_hash: dict[str, list[Sample]] = {}
    for sample, fingerprint in hashed:
        by_hash.setdefault(fingerprint, []).append(sample)
    found = [tuple(sorted(same, key=lambda s: s.path)) for same in by_hash.values() if len(same) > 1]
    return tuple(Duplicates(samples) for samples in sorted(found, key=lambda samples: samples[0].path))


def file_hashes(paths: Iterable[Path]) -> frozenset[str]:
    """Fingerprints of all files that can be read."""
    return frozenset(map(file_hash, paths)) - {""}


def file_hash(path: Path) -> str:
    """A fingerprint of a file's bytes; empty when it cannot be read.

    Quicker than `content_hash`, but the same picture saved anew has another.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()
