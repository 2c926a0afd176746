"""An engine on images that are larger than its network: tile by tile, then blended."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.engines.engine import Engine, EngineMaps
from blemish.tiling import Tiling

_AT_ONCE = 16  # tiles


def run_tiled(engine: Engine, tiling: Tiling, images: NDArray[np.uint8], product: int | None = None) -> EngineMaps:
    """As `Engine.run`, for uint8 B×M×M×3; all tiles of an image have the product that suits them best together."""
    if tiling.count == 1:
        return engine.run(images, product)
    found = [_one(engine, tiling, image, product) for image in images]
    return _together(found)


def _one(engine: Engine, tiling: Tiling, image: NDArray[np.uint8], product: int | None) -> EngineMaps:
    tiles = tiling.cut(image)
    maps = _all(engine, tiles, product)
    similarities = maps.similarities.mean(axis=0)
    best = int(similarities.argmax()) if product is None else product
    if (maps.products != best).any():
        maps = _all(engine, tiles, best)
    return EngineMaps(
        similarities[None],
        maps.products[:1],
        tiling.blended(maps.reconstruction)[None],
        None if maps.refiner is None else tiling.blended(maps.refiner)[None],
        None if maps.categories is None else tiling.blended(maps.categories)[None],
    )


def _all(engine: Engine, tiles: NDArray[np.uint8], product: int | None) -> EngineMaps:
    parts = [engine.run(tiles[start : start + _AT_ONCE], product) for start in range(0, len(tiles), _AT_ONCE)]
    return _together(parts)


def _together(parts: list[EngineMaps]) -> EngineMaps:
    refiners = [one.refiner for one in parts if one.refiner is not None]
    categories = [one.categories for one in parts if one.categories is not None]
    return EngineMaps(
        np.concatenate([one.similarities for one in parts]),
        np.concatenate([one.products for one in parts]),
        np.concatenate([one.reconstruction for one in parts]),
        np.concatenate(refiners) if refiners else None,
        np.concatenate(categories) if categories else None,
    )
