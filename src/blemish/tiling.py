"""Large images in overlapping tiles: cut before the network, blended after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOKEN = 16  # pixels; tiles overlap by whole tokens, so that maps of tokens and cells can be blended too
_OVERLAP = 4  # a quarter of a tile, rounded down to tokens


@dataclass(frozen=True)
class Tiling:
    """How a square image is divided.

    Attributes:
        size: side S of a tile, a multiple of 16 px: what the network sees.
        count: tiles per axis; 1: the whole image is one tile.
    """

    size: int
    count: int = 1

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring tiles share."""
        return _TOKEN * max(1, self.size // _TOKEN // _OVERLAP)

    @property
    def side(self) -> int:
        """Side M of the square that images are squashed to, in pixels."""
        return self.size + (self.count - 1) * (self.size - self.overlap)

    @property
    def tiles(self) -> int:
        """T, of an image."""
        return self.count**2

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """M×M×… → T×S×S×…, in raster order."""
        return np.stack([image[rows, columns] for rows, columns in self._places(1)])

    def joined(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """T×S×S×… that were cut from one image → that image, M×M×…"""
        image = np.empty((self.side, self.side, *tiles.shape[3:]), tiles.dtype)
        for tile, (rows, columns) in zip(tiles, self._places(1), strict=True):
            image[rows, columns] = tile
        return image

    def blended(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """One map of all tiles' maps; where tiles overlap, weights rise linearly from each tile's edge.

        Args:
            maps: T×…×s×s, S a multiple of s and s of the tokens on a side.

        Returns:
            …×m×m, with m : s as M : S.
        """
        if self.count == 1:
            return np.asarray(maps[0])
        factor = self.size // maps.shape[-1]
        side = self.side // factor
        total = np.zeros((*maps.shape[1:-2], side, side), np.float32)
        ramps = self._ramps(factor)
        for number, (rows, columns) in enumerate(self._places(factor)):
            down, across = ramps[number // self.count], ramps[number % self.count]
            total[..., rows, columns] += maps[number] * (down[:, None] * across)
        return total

    def _places(self, factor: int) -> Sequence[tuple[slice, slice]]:
        step, length = (self.size - self.overlap) // factor, self.size // factor
        axis = [slice(number * step, number * step + length) for number in range(self.count)]
        return [(rows, columns) for rows in axis for columns in axis]

    def _ramps(self, factor: int) -> list[NDArray[np.float32]]:
        """Weights along one axis of the tiles at each place; those of neighbours add up to 1."""
        overlap = self.overlap // factor
        rising = np.arange(1, overlap + 1, dtype=np.float32) / (overlap + 1)
        ramps = []
        for number in range(self.count):
            ramp = np.ones(self.size // factor, np.float32)
            if number > 0:
                ramp[:overlap] = rising
            if number < self.count - 1:
                ramp[-overlap:] = rising[::-1]
            ramps.append(ramp)
        return ramps
