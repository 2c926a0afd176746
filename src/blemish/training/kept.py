"""Which normal images stay with a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from blemish.data.decode import IntensityRange
from blemish.kept.images import KeptImages, stacked
from blemish.procedural.seeding import generator
from blemish.tiling import Tiling
from blemish.training.images import TrainingImage, TrainingSet


def keep_images(
    training: TrainingSet,
    pixels: NDArray[np.uint8],
    tiling: Tiling,
    ranges: Mapping[str, IntensityRange | None],
    count: int,
    seed: int,
) -> dict[str, KeptImages]:
    """Up to `count` training and `count` held images of every product, spread over its parts.

    Args:
        training: the images; in `train` each stands for each of its tiles.
        pixels: uint8 N×S×S×3, those of `training.train`.
        tiling: how they were cut.
        ranges: scale of deep grey values per product.
        count: 0 keeps none.
        seed: of the draw.
    """
    if not count:
        return {}
    kept = {}
    for product in training.products:
        own = training.indices(product)[:: tiling.tiles]
        images = [training.train[row] for row in own]
        parts = {group: number for number, group in enumerate(dict.fromkeys(image.group for image in images))}
        rows = _spread(images, count, seed)
        held = [image for image in training.held if image.product == product]
        chosen = [held[row] for row in _spread(held, count, seed)]
        kept[product] = KeptImages(
            np.stack([tiling.joined(pixels[first : first + tiling.tiles]) for first in own[rows]]),
            tuple(rows),
            tuple(parts[image.group] for image in images),
            stacked([image.load(tiling.side, ranges[product], seed) for image in chosen]),
            tuple(image.group for image in chosen),
            tuple(parts.get(image.group, -1) for image in chosen),
        )
    return kept


def _spread(images: Sequence[TrainingImage], count: int, seed: int) -> list[int]:
    """Positions of up to `count` images, in order: one of each part in turn."""
    rng = generator(seed, "kept images")
    turns: dict[str, int] = {}
    order: list[tuple[int, int, int]] = []
    for position in rng.permutation(len(images)):
        group = images[int(position)].group
        turns[group] = turns.get(group, -1) + 1
        order.append((turns[group], len(order), int(position)))
    return sorted(position for _, _, position in sorted(order)[:count])
