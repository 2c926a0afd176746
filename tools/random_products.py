"""Products that never existed: any number of them, each with as many normal images as one likes.

A scene is drawn once for each image. What makes the product (shapes, colours, scales, lights) is drawn from the
product's numbers, and what differs from image to image (the grain of a texture, noise) from the image's own; then the
part is moved, turned and lit a little differently.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.procedural.degrade import develop
from blemish.procedural.noise import coordinates
from blemish.procedural.palette import Colours, to_pixels
from blemish.procedural.scenes import scene_colours
from blemish.procedural.seeding import generator

_GRAIN = 40  # numbers drawn at once from which on they are grain, which differs from image to image
_DRAWS = ("random", "uniform", "normal", "standard_normal", "integers", "beta", "choice", "permutation")


class Kin:
    """Looks like a numpy generator: what is drawn in small numbers is the family's, what in large ones one's own."""

    def __init__(self, family: np.random.Generator, own: np.random.Generator) -> None:
        self._family, self._own = family, own

    def __getattr__(self, name: str) -> Any:
        if name not in _DRAWS:
            raise AttributeError(name)

        def draw(*arguments: Any, **options: Any) -> Any:
            size = options.get("size", arguments[0] if name in ("random", "standard_normal") and arguments else None)
            if name in ("choice", "permutation"):
                size = np.size(arguments[0]) if name == "permutation" else None
            grain = size is not None and math.prod(np.atleast_1d(size)) >= _GRAIN
            return getattr(self._own if grain else self._family, name)(*arguments, **options)

        return draw


def random_product(number: int, index: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Normal image `index` of product `number`: size×size×3."""
    habits = generator(seed, "habits of a product", number)
    stream = f"image of product {number}"
    fixed = habits.random() < 0.4  # printed or machined: the grain is the same on every part
    grain = generator(seed, "grain of a product", number) if fixed else generator(seed, stream, index)
    wide = size + 2 * (size // 6)
    rng: Any = Kin(generator(seed, "product", number), grain)
    picture = develop(scene_colours(wide, rng), rng)
    own = generator(seed, f"pose of product {number}", index)
    turn = habits.choice([0.0, 1.5, 6.0, 180.0]) * own.uniform(-1, 1)
    shift = habits.choice([0.0, 0.01, 0.05]) * size * own.normal(size=2)
    posed = _posed(picture, turn, np.clip(shift, -size / 8, size / 8), size)
    return _photographed(posed, habits, own)


def _posed(picture: Colours, turn: float, shift: NDArray[np.float64], size: int) -> Colours:
    """The middle of the picture, turned (degrees) and shifted (pixels)."""
    pixels = Image.fromarray(to_pixels(picture))
    if abs(turn) > 0.01:
        wide = np.asarray(pixels)
        reach = wide.shape[0] // 2
        pixels = Image.fromarray(np.pad(wide, ((reach, reach), (reach, reach), (0, 0)), mode="reflect"))
    moved = pixels.rotate(turn, Image.Resampling.BICUBIC, translate=(float(shift[0]), float(shift[1])))
    start = (moved.size[0] - size) // 2
    return np.asarray(moved.crop((start, start, start + size, start + size)), dtype=np.float32) / 255


def _photographed(picture: Colours, habits: np.random.Generator, own: np.random.Generator) -> NDArray[np.uint8]:
    """Exposure, light that falls off to one side, and sensor noise: as steady as the product's camera is."""
    steadiness = habits.uniform(0.01, 0.08)
    noise = habits.uniform(0, 0.02)
    if habits.random() < 0.5:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    grey = bool((picture == picture[..., :1]).all())
    y, x = coordinates(picture.shape[0])
    slope = own.normal(0, steadiness / 2, size=2)
    light = own.normal(1, steadiness) * (1 + x * float(slope[0]) + y * float(slope[1]))
    grain = own.standard_normal((*picture.shape[:2], 1 if grey else 3), dtype=np.float32)
    return to_pixels(np.asarray(picture * light[:, :, None] + noise * grain, dtype=np.float32))
