"""The drawings of the shape library. Each function takes a family's constants and returns what draws one instance.

Areas are nominal, as shares of the image: width times height, and the product of the semi-axes for ellipses. The
constants are those of UniADC's mask library at 512 px.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from blemish.synthesis.perlin import perlin_noise
from blemish.synthesis.shapes import raster
from blemish.synthesis.shapes.raster import Mask, pixels, smoothed
from blemish.synthesis.shapes.shape import Centre, Drawing

Range = tuple[float, float]

_CORNERS = (10, 20)
_PERLIN_THRESHOLD = 0.5


def rectangle(area: Range, aspect: Range, kernel: int) -> Drawing:
    """A rectangle turned by 0 to 90°; a line where `aspect` (shorter / longer side) is small."""

    def draw(size: int, centre: Centre, rng: np.random.Generator) -> Mask:
        short, long = _sides(area, aspect, size, rng)
        sides = (short, long) if rng.random() < 0.5 else (long, short)
        angle = rng.uniform(0, math.pi / 2)
        return smoothed(raster.box(size, centre, sides, angle), kernel, size)

    return draw


def polygon(area: Range, aspect: Range, kernel: int) -> Drawing:
    """A star-like outline of 10 to 20 corners that fits a turned box."""

    def draw(size: int, centre: Centre, rng: np.random.Generator) -> Mask:
        short, long = _sides(area, aspect, size, rng)
        count = int(rng.integers(_CORNERS[0], _CORNERS[1] + 1))
        bearing = np.sort((np.arange(count) + rng.uniform(0, 1, count)) * (2 * math.pi / count))
        reach = rng.uniform(0.45, 1, count)
        x, y = reach * np.cos(bearing) * (long / 2), reach * np.sin(bearing) * (short / 2)
        angle = rng.uniform(0, math.pi)
        cos, sin = math.cos(angle), math.sin(angle)
        points = np.stack([centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos], axis=1)
        return smoothed(raster.outline(size, points), kernel, size)

    return draw


def ellipse(area: Range, aspect: Range, kernel: int) -> Drawing:
    """A filled ellipse, turned at random."""

    def draw(size: int, centre: Centre, rng: np.random.Generator) -> Mask:
        radii = _sides(area, aspect, size, rng)
        return smoothed(raster.ellipse(size, centre, radii, rng.uniform(0, math.pi)), kernel, size)

    return draw


def hollow(area: Range, aspect: Range, stroke: Range, kernel: int) -> Drawing:
    """The outline of an ellipse, `stroke` nominal pixels wide and centred on it."""

    def draw(size: int, centre: Centre, rng: np.random.Generator) -> Mask:
        radii = _sides(area, aspect, size, rng)
        half = pixels(rng.uniform(*stroke), size) / 2
        angle = rng.uniform(0, math.pi)
        outer = raster.ellipse(size, centre, (radii[0] + half, radii[1] + half), angle)
        inner = (radii[0] - half, radii[1] - half)
        ring = outer - raster.ellipse(size, centre, inner, angle) if min(inner) > 0 else outer
        return smoothed(ring, kernel, size)

    return draw


def brush(width: Range, kernel: int) -> Drawing:
    """A bending stroke of 3 to 7 legs, `width` nominal pixels wide."""

    def draw(size: int, centre: Centre, rng: np.random.Generator) -> Mask:
        pen = pixels(rng.uniform(*width), size)
        legs = int(rng.integers(3, 8))
        heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.5, legs))
        length = pen * rng.uniform(1, 3, legs)
        steps = np.stack([np.cos(heading) * length, np.sin(heading) * length], axis=1)
        points = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
        return smoothed(raster.path(size, points - points.mean(axis=0) + centre, pen), kernel, size)

    return draw


def perlin(octaves: tuple[int, int], kernel: int) -> Drawing:
    """Where Perlin noise of 2^octave cells a side, turned by up to 90° either way, exceeds 0.5; it has no centre."""

    def draw(size: int, _: Centre, rng: np.random.Generator) -> Mask:
        down, across = (2 ** int(octave) for octave in rng.integers(octaves[0], octaves[1] + 1, size=2))
        noise = Image.fromarray(perlin_noise(size, (down, across), rng))
        turned = np.asarray(noise.rotate(rng.uniform(-90, 90), Image.Resampling.BILINEAR))
        high = (turned > _PERLIN_THRESHOLD).astype(np.float32)
        return smoothed(high, kernel, size)

    return draw


def whole(size: int, _: Centre, __: np.random.Generator) -> Mask:
    """All of the image, and so all of the foreground."""
    return np.ones((size, size), dtype=np.bool_)


def _sides(area: Range, aspect: Range, size: int, rng: np.random.Generator) -> tuple[float, float]:
    """Shorter and longer side in pixels of a box of random area and aspect."""
    share, ratio = rng.uniform(*area), rng.uniform(*aspect)
    return math.sqrt(share * ratio) * size, math.sqrt(share / ratio) * size
