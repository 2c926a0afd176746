"""Changes of colour and tone of a pasted patch or texture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

Pixels = NDArray[np.uint8]


def jitter(
    pixels: Pixels, rng: np.random.Generator, *, brightness: float, contrast: float, saturation: float, hue: float
) -> Pixels:
    """Colour jitter of CutPaste: factors from 1 ± strength, hue shifted by ± `hue` turns, in random order.

    Args:
        pixels: H×W×3.
    """
    image = Image.fromarray(pixels)
    enhancers = (
        (ImageEnhance.Brightness, brightness),
        (ImageEnhance.Contrast, contrast),
        (ImageEnhance.Color, saturation),
    )
    for index in rng.permutation(4):
        if index == 3:
            image = _shift_hue(image, rng.uniform(-hue, hue))
        else:
            enhancer, strength = enhancers[index]
            image = enhancer(image).enhance(rng.uniform(max(0.0, 1 - strength), 1 + strength))
    return np.asarray(image)


def change_photometrically(pixels: Pixels, rng: np.random.Generator, count: int) -> Pixels:
    """Apply `count` different photometric changes, drawn at random, to an H×W×3 texture (as DRAEM does)."""
    image = Image.fromarray(pixels)
    for index in rng.choice(len(_CHANGES), size=min(count, len(_CHANGES)), replace=False):
        image = _CHANGES[index](image, rng)
    return np.asarray(image)


def _shift_hue(image: Image.Image, turns: float) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    offset = round(turns * 255)
    hue = hue.point([(level + offset) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def _gamma(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    ramp = np.linspace(0, 1, 256)
    tables = [np.round(255 * ramp**power) for power in np.exp2(rng.uniform(-1, 1, size=3))]
    return image.point([int(level) for table in tables for level in table])


def _brightness(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    table = np.clip(np.arange(256) * rng.uniform(0.8, 1.2) + rng.uniform(-30, 30), 0, 255)
    return image.point([int(level) for level in table] * 3)


def _hue(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    image = _shift_hue(image, rng.uniform(-0.2, 0.2))
    return ImageEnhance.Color(image).enhance(rng.uniform(0.6, 1.5))


def _sharpness(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Sharpness(image).enhance(rng.uniform(0.2, 3.0))


def _solarise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.solarize(image, int(rng.integers(32, 129)))


def _posterise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.posterize(image, int(rng.integers(2, 6)))


def _invert(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.invert(image)


def _autocontrast(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.autocontrast(image)


def _equalise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.equalize(image)


_CHANGES: tuple[Callable[[Image.Image, np.random.Generator], Image.Image], ...] = (
    _gamma,
    _brightness,
    _hue,
    _sharpness,
    _solarise,
    _posterise,
    _invert,
    _autocontrast,
    _equalise,
)
