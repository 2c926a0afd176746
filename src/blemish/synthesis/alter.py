"""Alterations of a whole image that change no defect into another: light, sharpness, section."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int16]

SHADING = 0.15
"""How uneven the light of a normal part may be, a natural logarithm."""

_GAMMA, _GAIN = 0.25, 0.4  # natural logarithms
_BLUR = 1 / 320  # radius, as a share of the image's side
_NOISE = 0.02
_SECTION, _SECTION_SHARE = 0.75, 0.7


def alter(image: Pixels, labels: Labels, rng: np.random.Generator, *, shading: float = 0) -> tuple[Pixels, Labels]:
    """Mirror, cut a section and change the light.

    Args:
        image: uint8 S×S×3.
        labels: int16 S×S, −1 or the number of a category.
        rng: of all draws.
        shading: largest standard deviation of an uneven light, a natural logarithm. 0 where uneven light may be a
            defect.

    Returns:
        Both altered alike; a section may lose a defect.
    """
    for axis in (0, 1):
        if rng.random() < 0.5:
            image, labels = np.flip(image, axis), np.flip(labels, axis)
    if rng.random() < _SECTION_SHARE:
        image, labels = section(image, labels, rng)
    return relit(image, rng, shading), np.ascontiguousarray(labels)


def section(image: Pixels, labels: Labels, rng: np.random.Generator) -> tuple[Pixels, Labels]:
    """A section of 75 to 100 % of each side, stretched to the whole."""
    size = image.shape[0]
    height, width = (max(8, int(size * share)) for share in rng.uniform(_SECTION, 1, 2))
    top, left = int(rng.integers(0, size - height + 1)), int(rng.integers(0, size - width + 1))
    box = (left, top, left + width, top + height)
    whole = Image.fromarray(np.ascontiguousarray(image)).resize((size, size), Image.Resampling.BILINEAR, box)
    numbers = Image.fromarray(np.ascontiguousarray(labels + 1).astype(np.int32))
    kept = np.asarray(numbers.resize((size, size), Image.Resampling.NEAREST, box)).astype(np.int16) - 1
    return np.asarray(whole), kept.astype(np.int16)


def relit(image: Pixels, rng: np.random.Generator, shading: float = 0) -> Pixels:
    """Other gamma, brightness and shading (see `alter`); sometimes a little blurred or noisy. Grey stays grey."""
    size = image.shape[0]
    if rng.random() < 0.3:
        radius = float(rng.uniform(0, _BLUR)) * size
        image = np.asarray(Image.fromarray(np.ascontiguousarray(image)).filter(ImageFilter.GaussianBlur(radius)))
    values = (image.astype(np.float32) / 255) ** np.exp(rng.uniform(-_GAMMA, _GAMMA))
    coarse = Image.fromarray(rng.normal(size=(3, 3)).astype(np.float32))
    shade = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    shade = (shade - shade.mean()) / max(float(shade.std()), 1e-6)
    values = values * np.exp(rng.uniform(-_GAIN, _GAIN) + rng.uniform(0, shading) * shade)[..., None]
    if rng.random() < 0.5:
        values = values + rng.normal(size=(size, size, 1)) * rng.uniform(0, _NOISE)
    return np.asarray(np.rint((255 * values).clip(0, 255)), dtype=np.uint8)
