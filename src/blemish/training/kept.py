"""Which normal images stay with a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.config import TrainConfig
from blemish.data.decode import IntensityRange, load_square, square
from blemish.kept.images import KeptImages, stacked
from blemish.procedural.seeding import generator
from blemish.tiling import Tiling
from blemish.training.images import TrainingSet

Image = Path | NDArray[np.uint8]


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
        rows = _spread([image.group for image in images], count, seed)
        held = [image for image in training.held if image.product == product]
        chosen = [held[row] for row in _spread([image.group for image in held], count, seed)]
        kept[product] = KeptImages(
            np.stack([tiling.joined(pixels[first : first + tiling.tiles]) for first in own[rows]]),
            tuple(rows),
            tuple(parts[image.group] for image in images),
            stacked([image.load(tiling.side, ranges[product], seed) for image in chosen]),
            tuple(image.group for image in chosen),
            tuple(parts.get(image.group, -1) for image in chosen),
        )
    return kept


def hold_others(
    kept: KeptImages, images: Sequence[Image], groups: Sequence[str], config: TrainConfig, scale: IntensityRange | None
) -> KeptImages:
    """The same training images with other held ones.

    Args:
        kept: of a product.
        images: normal ones of it that did not train the model, files or pixels.
        groups: which part each shows.
        config: of the model; it says how many are kept.
        scale: of deep grey values of the product.
    """
    side, chosen = config.model.tiling.side, _spread(groups, config.kept, config.seed)
    pixels = [
        square(image, side) if isinstance(image, np.ndarray) else load_square(image, side, scale)
        for image in (images[row] for row in chosen)
    ]
    return replace(kept, held=stacked(pixels), groups=tuple(groups[row] for row in chosen), shown=())


def _spread(groups: Sequence[str], count: int, seed: int) -> list[int]:
    """Positions of up to `count` images of these parts, in order: one of each part in turn."""
    rng = generator(seed, "kept images")
    turns: dict[str, int] = {}
    order: list[tuple[int, int, int]] = []
    for position in rng.permutation(len(groups)):
        group = groups[int(position)]
        turns[group] = turns.get(group, -1) + 1
        order.append((turns[group], len(order), int(position)))
    return sorted(position for _, _, position in sorted(order)[:count])
