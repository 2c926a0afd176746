"""Perlin noise and the paste of a texture through it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.synthesis.colour import change_photometrically
from blemish.synthesis.config import PseudoAnomalyConfig

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Field = NDArray[np.float32]


def perlin_noise(size: int, resolution: tuple[int, int], rng: np.random.Generator) -> Field:
    """Gradient noise on size×size pixels, in about [-1, 1].

    The noise is a sum over lattice points of fade(y) · fade(x) · (g_y · y + g_x · x), taken first down, then across.

    Args:
        resolution: lattice cells (down, across).
    """
    down, across = resolution
    angle = rng.uniform(0, 2 * math.pi, size=(down + 1, across + 1)).astype(np.float32)
    cell, weights, offsets = _lattice(size, down)
    vertical, horizontal = _taps(np.sin(angle), cell, offsets), _taps(np.cos(angle), cell, weights)
    cell, weights, offsets = _lattice(size, across)
    noise = _taps(vertical.T, cell, weights) + _taps(horizontal.T, cell, offsets)
    return np.asarray(math.sqrt(2) * noise.T, dtype=np.float32)


def fractal_perlin(size: int, cells: int, rng: np.random.Generator, *, stretch: int = 1) -> Field:
    """Octaves of Perlin noise from `cells` across on, each half as strong as the one before, brought to [0, 1].

    Args:
        stretch: > 1 makes its features longer down than across.
    """
    total, amplitude = np.zeros((size, size), dtype=np.float32), 1.0
    while cells <= size // 2:
        total += amplitude * perlin_noise(size, (max(cells // stretch, 1), cells), rng)
        cells, amplitude = cells * 2, amplitude / 2
    low, high = float(total.min()), float(total.max())
    return np.asarray((total - low) / (high - low), dtype=np.float32) if high > low else total


def rotated_noise(size: int, rng: np.random.Generator, config: PseudoAnomalyConfig) -> Field:
    """Perlin noise of random resolution, turned by a small angle; corners that turn in are 0."""
    low, high = config.perlin_octaves
    down, across = (2 ** int(octave) for octave in rng.integers(low, high + 1, size=2))
    noise = Image.fromarray(perlin_noise(size, (down, across), rng))
    angle = rng.uniform(-config.perlin_angle, config.perlin_angle)
    return np.asarray(noise.rotate(angle, Image.Resampling.BILINEAR), dtype=np.float32)


def paste_texture(
    image: Pixels, texture: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig
) -> tuple[Pixels, Mask]:
    """Blend a recoloured texture into `image` (both S×S×3) where Perlin noise exceeds the threshold.

    Returns: the new image and the S×S mask, which may be empty.
    """
    mask = rotated_noise(image.shape[0], rng, config) > config.perlin_threshold
    texture = change_photometrically(texture, rng, config.texture_changes)
    beta = rng.uniform(*config.blend)
    pasted = image.copy()
    pasted[mask] = np.round(beta * image[mask] + (1 - beta) * texture[mask])
    return pasted, mask


def _lattice(size: int, cells: int) -> tuple[NDArray[np.intp], Field, Field]:
    """Cell of each pixel; fade weight of the cell's two ends, and the same times the offset from them: 2×size×1."""
    position = (np.arange(size, dtype=np.float32) + 0.5) * (cells / size)
    cell = np.minimum(position.astype(np.intp), cells - 1)
    offset = (position - cell).astype(np.float32)[:, None]
    fade = offset**3 * (offset * (offset * 6 - 15) + 10)
    return cell, np.stack([1 - fade, fade]), np.stack([(1 - fade) * offset, fade * (offset - 1)])


def _taps(rows: Field, cell: NDArray[np.intp], weights: Field) -> Field:
    """Weighted sum of each cell's two rows."""
    rows = np.ascontiguousarray(rows)
    return np.asarray(weights[0] * rows[cell] + weights[1] * rows[cell + 1])
