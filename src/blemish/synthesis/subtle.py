"""Pseudo-anomalies without hard edges: own texture from elsewhere, local tone, displacement and blur.

All take an S×S×3 image and return the new image and the S×S mask, which may be empty; no pixel outside it changes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from blemish.synthesis.config import PseudoAnomalyConfig
from blemish.synthesis.perlin import perlin_noise, rotated_noise

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Field = NDArray[np.float32]


def paste_self(image: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig) -> tuple[Pixels, Mask]:
    """Blend the image, shifted cyclically and perhaps mirrored, into itself."""
    size = image.shape[0]
    weight = soft_mask(size, rng, config)
    shift = rng.integers(size // 8, size - size // 8, size=2)
    source = np.roll(image, tuple(int(s) for s in shift), axis=(0, 1))
    if rng.random() < 0.5:
        source = source[:, ::-1] if rng.random() < 0.5 else source.transpose(1, 0, 2)
    beta = rng.uniform(*config.blend)
    return _blend(image, source, weight * (1 - beta))


def change_tone(image: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig) -> tuple[Pixels, Mask]:
    """Darken, brighten or tint a soft region by 15 to 90 grey levels."""
    weight = soft_mask(image.shape[0], rng, config)
    strength = rng.uniform(15, 90) * (1 if rng.random() < 0.5 else -1)
    tint = rng.uniform(0.2, 1, size=3) if rng.random() < 0.5 else np.ones(3)
    return _blend(image, np.clip(image + (strength * tint).astype(np.float32), 0, 255), weight)


def warp(image: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig) -> tuple[Pixels, Mask]:
    """Displace a soft region by 1 to 5 % of the image's side, along one direction or turbulently."""
    size = image.shape[0]
    weight = soft_mask(size, rng, config)
    amplitude = size * rng.uniform(0.01, 0.05)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * math.pi)
        shifts = [weight * (amplitude * component) for component in (math.sin(angle), math.cos(angle))]
    else:
        cells = int(rng.integers(4, 13))
        shifts = [weight * perlin_noise(size, (cells, cells), rng) * (2 * amplitude) for _ in range(2)]
    mask = weight > 0
    rows, columns = np.nonzero(mask)
    warped = image.copy()
    warped[mask] = _sample(image, rows + shifts[0][mask], columns + shifts[1][mask])
    return warped, mask


def blur(image: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig) -> tuple[Pixels, Mask]:
    """Blur a soft region by 0.7 to 3 % of the image's side."""
    size = image.shape[0]
    weight = soft_mask(size, rng, config)
    radius = size * rng.uniform(0.007, 0.03)
    source = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))
    return _blend(image, source, weight)


def soft_mask(size: int, rng: np.random.Generator, config: PseudoAnomalyConfig) -> Field:
    """Weights in [0, 1] of a soft Perlin region or, as often, of one blob or streak; 0 outside the region."""
    softness = rng.uniform(0.02, 0.5)
    if rng.random() < 0.5:
        field = rotated_noise(size, rng, config) - config.perlin_threshold
    else:
        low, high = np.log(config.subtle_size)
        length = math.exp(rng.uniform(low, high)) * size
        breadth = max(length * math.exp(rng.uniform(math.log(0.1), 0)), 2.5)
        angle = rng.uniform(0, math.pi)
        centre_y, centre_x = rng.uniform(0.05 * size, 0.95 * size, size=2)
        y = np.arange(size, dtype=np.float32)[:, None] - centre_y
        x = np.arange(size, dtype=np.float32) - centre_x
        along = (x * math.cos(angle) + y * math.sin(angle)) * (2 / length)
        across = (y * math.cos(angle) - x * math.sin(angle)) * (2 / breadth)
        cells = max(2, min(32, round(3 * size / length)))
        field = 1 - np.sqrt(along**2 + across**2) + 0.5 * perlin_noise(size, (cells, cells), rng)
    weight = np.clip(field / softness, 0, 1)
    return np.where(weight > 0.1, weight, 0)


def _blend(image: Pixels, source: NDArray[np.uint8] | Field, weight: Field) -> tuple[Pixels, Mask]:
    mask = weight > 0
    share = weight[mask][:, None]
    blended = image.copy()
    blended[mask] = np.round(image[mask] * (1 - share) + source[mask] * share)
    return blended, mask


def _sample(image: Pixels, rows: Field, columns: Field) -> NDArray[np.uint8]:
    """Bilinear values of the image at n fractional positions, clamped to the border: n×3."""
    limit = image.shape[0] - 1
    rows, columns = np.clip(rows, 0, limit), np.clip(columns, 0, limit)
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    bottom, right = np.minimum(top + 1, limit), np.minimum(left + 1, limit)
    down, across = (rows - top)[:, None], (columns - left)[:, None]
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return np.asarray(np.round(upper * (1 - down) + lower * down), dtype=np.uint8)
