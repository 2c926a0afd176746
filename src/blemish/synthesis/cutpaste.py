"""CutPaste: a patch or a scar of the image, recoloured and pasted elsewhere in it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blemish.synthesis.colour import jitter
from blemish.synthesis.config import PseudoAnomalyConfig, Range

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def paste_patch(image: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig) -> tuple[Pixels, Mask]:
    """Copy a rectangle of `image` (S×S×3), jitter its colours and paste it at a random place.

    Returns: the new image and the S×S mask of pasted pixels, which is never empty.
    """
    size = image.shape[0]
    area = rng.uniform(*config.patch_area) * size * size
    low, high = config.patch_aspect
    aspect = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
    width = min(max(round(math.sqrt(area * aspect)), 1), size)
    height = min(max(round(math.sqrt(area / aspect)), 1), size)
    patch = _jittered(_crop(image, width, height, rng), rng, config)
    return _paste(image, patch, np.ones((height, width), dtype=np.bool_), rng)


def paste_scar(image: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig) -> tuple[Pixels, Mask]:
    """Copy a thin strip of `image` (S×S×3), jitter its colours, rotate it and paste it at a random place.

    Returns: the new image and the S×S mask of pasted pixels, which is never empty.
    """
    limit = image.shape[0] // 2
    width = min(_integer(config.scar_width, rng), limit)
    height = min(_integer(config.scar_height, rng), limit)
    strip = _jittered(_crop(image, width, height, rng), rng, config)
    angle = math.radians(rng.uniform(-config.scar_angle, config.scar_angle))
    cos, sin = math.cos(angle), math.sin(angle)
    columns = math.ceil(width * abs(cos) + height * abs(sin))
    rows = math.ceil(width * abs(sin) + height * abs(cos))
    x = np.arange(columns) - (columns - 1) / 2
    y = np.arange(rows)[:, None] - (rows - 1) / 2
    across = np.floor(cos * x + sin * y + width / 2).astype(np.intp)
    along = np.floor(cos * y - sin * x + height / 2).astype(np.intp)
    inside = (across >= 0) & (across < width) & (along >= 0) & (along < height)
    rotated = strip[np.clip(along, 0, height - 1), np.clip(across, 0, width - 1)]
    return _paste(image, rotated, inside, rng)


def _integer(ends: tuple[int, int] | Range, rng: np.random.Generator) -> int:
    return int(rng.integers(int(ends[0]), int(ends[1]) + 1))


def _crop(image: Pixels, width: int, height: int, rng: np.random.Generator) -> Pixels:
    top = int(rng.integers(0, image.shape[0] - height + 1))
    left = int(rng.integers(0, image.shape[1] - width + 1))
    return image[top : top + height, left : left + width]


def _jittered(patch: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig) -> Pixels:
    return jitter(
        patch,
        rng,
        brightness=config.brightness,
        contrast=config.contrast,
        saturation=config.saturation,
        hue=config.hue,
    )


def _paste(image: Pixels, patch: Pixels, inside: Mask, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    height, width = inside.shape
    top = int(rng.integers(0, image.shape[0] - height + 1))
    left = int(rng.integers(0, image.shape[1] - width + 1))
    pasted = image.copy()
    mask = np.zeros(image.shape[:2], dtype=np.bool_)
    pasted[top : top + height, left : left + width][inside] = patch[inside]
    mask[top : top + height, left : left + width] = inside
    return pasted, mask
