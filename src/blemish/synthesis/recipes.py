"""What a pseudo-anomaly of OneNIP's kinds shall be, drawn without looking at a pixel.

`PseudoAnomaliesOnDevice` carries recipes out for a whole batch at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.synthesis.config import PseudoAnomalyConfig

HUE = 3  # of the four colour changes; the others blend with black, mean grey and grey


@dataclass(frozen=True)
class Paste:
    """A rectangle of the image, recoloured, turned and pasted elsewhere in it (CutPaste).

    Attributes:
        width, height: of the rectangle in pixels.
        source: top and left of the rectangle.
        target: row and column of the middle of the pasted rectangle.
        angle: by which it is turned, in radians.
        order: of the colour changes brightness, contrast, saturation, hue.
        factors: of the first three, and the hue's shift in turns.
    """

    width: int
    height: int
    source: tuple[int, int]
    target: tuple[float, float]
    angle: float
    order: tuple[int, ...]
    factors: tuple[float, ...]

    @classmethod
    def draw(cls, size: int, rng: np.random.Generator, config: PseudoAnomalyConfig) -> Paste:
        """A patch or a scar for images of `size` pixels."""
        if rng.random() < config.scar_probability:
            width, height = (
                min(int(rng.integers(low, high + 1)), size // 2)
                for low, high in (config.scar_width, config.scar_height)
            )
            angle = math.radians(rng.uniform(-config.scar_angle, config.scar_angle))
        else:
            area, (low, high) = rng.uniform(*config.patch_area) * size * size, config.patch_aspect
            aspect = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
            width, height = (min(max(round(math.sqrt(side)), 1), size) for side in (area * aspect, area / aspect))
            angle = 0.0
        cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
        rows, columns = math.ceil(width * sin + height * cos), math.ceil(width * cos + height * sin)
        top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
        down, across = int(rng.integers(size - rows + 1)), int(rng.integers(size - columns + 1))
        strengths = (config.brightness, config.contrast, config.saturation)
        factors = [rng.uniform(max(0.0, 1 - strength), 1 + strength) for strength in strengths]
        return cls(
            width,
            height,
            (top, left),
            (down + (rows - 1) / 2, across + (columns - 1) / 2),
            angle,
            tuple(int(one) for one in rng.permutation(4)),
            (*factors, rng.uniform(-config.hue, config.hue)),
        )


@dataclass(frozen=True)
class Blend:
    """A texture blended into the image where Perlin noise is high.

    Attributes:
        texture: a number in [0, 1), its place among the textures.
        roll: the texture is shifted cyclically by so many rows and columns.
        cells: of the noise, down and across.
        angles: of the gradients at the lattice points, in radians.
        turn: the noise is turned by so many radians.
        beta: share of the image in the blend.
    """

    texture: float
    roll: tuple[int, int]
    cells: tuple[int, int]
    angles: NDArray[np.float32]
    turn: float
    beta: float

    @classmethod
    def draw(cls, size: int, rng: np.random.Generator, config: PseudoAnomalyConfig) -> Blend:
        """For images of `size` pixels."""
        low, high = config.perlin_octaves
        down, across = (2 ** int(octave) for octave in rng.integers(low, high + 1, size=2))
        roll = rng.integers(size, size=2)
        return cls(
            rng.random(),
            (int(roll[0]), int(roll[1])),
            (down, across),
            rng.uniform(0, 2 * math.pi, size=(down + 1, across + 1)).astype(np.float32),
            math.radians(rng.uniform(-config.perlin_angle, config.perlin_angle)),
            rng.uniform(*config.blend),
        )


def draw_recipe(size: int, rng: np.random.Generator, config: PseudoAnomalyConfig) -> Paste | Blend:
    """CutPaste or a Perlin paste; the subtle kinds are not among them."""
    kind = Paste if rng.random() < config.cutpaste_probability else Blend
    return kind.draw(size, rng, config)
