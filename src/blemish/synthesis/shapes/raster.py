"""Drawing of shapes: coverage in [0, 1] from coordinates or outlines, smoothing and closing.

Lengths in "nominal pixels" are those of an image of 512 px a side; they grow and shrink with the image.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import maximum_filter, minimum_filter

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]

NOMINAL = 512
_CLOSING = 6
_FINE = 2  # outlines are drawn on a finer grid


def pixels(nominal: float, size: int) -> float:
    """A length at 512 px as pixels of an image of `size` a side."""
    return nominal * size / NOMINAL


def axes(size: int, centre: tuple[float, float], angle: float) -> tuple[Field, Field]:
    """Coordinates (u, v) of every pixel in a frame at `centre` (x, y), turned by `angle` radians; size×size each."""
    x = np.arange(size, dtype=np.float32)[None, :] - np.float32(centre[0])
    y = np.arange(size, dtype=np.float32)[:, None] - np.float32(centre[1])
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def box(size: int, centre: tuple[float, float], sides: tuple[float, float], angle: float) -> Field:
    """A filled rectangle, its sides in pixels (along u, along v), at least one pixel each."""
    u, v = axes(size, centre, angle)
    across, along = (max(side, 1.0) / 2 for side in sides)
    return np.asarray(_inside(across - np.abs(u)) * _inside(along - np.abs(v)))


def ellipse(size: int, centre: tuple[float, float], radii: tuple[float, float], angle: float) -> Field:
    """A filled ellipse, its semi-axes in pixels (along u, along v), at least 0.6 pixels each."""
    u, v = axes(size, centre, angle)
    across, along = (max(radius, 0.6) for radius in radii)
    reach = np.sqrt((u / across) ** 2 + (v / along) ** 2)
    # distance to the outline: the reach's excess over its slope
    slope = np.sqrt((u / across**2) ** 2 + (v / along**2) ** 2) / np.maximum(reach, 1e-6)
    return _inside((1 - reach) / np.maximum(slope, 1e-6))


def outline(size: int, points: NDArray[np.floating]) -> Field:
    """A filled polygon; points n×2 (x, y) in pixels."""
    canvas = Image.new("L", (size * _FINE, size * _FINE))
    ImageDraw.Draw(canvas).polygon((np.asarray(points) * _FINE).ravel().tolist(), fill=255)
    return _coverage(canvas)


def path(size: int, points: NDArray[np.floating], width: float) -> Field:
    """An open path with round joints and ends; points n×2 (x, y) and width in pixels."""
    canvas = Image.new("L", (size * _FINE, size * _FINE))
    draw = ImageDraw.Draw(canvas)
    fine = np.asarray(points) * _FINE
    pen = max(round(width * _FINE), _FINE)
    draw.line(fine.ravel().tolist(), fill=255, width=pen)
    for x, y in fine:
        draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=255)
    return _coverage(canvas)


def smoothed(coverage: Field, kernel: int, size: int) -> Mask:
    """Edges smoothed by a Gaussian blur and a threshold at half of the peak, which no thin stroke falls below.

    Args:
        kernel: width of the blur's window in nominal pixels; its deviation is 0.3 · ((kernel − 1) / 2 − 1) + 0.8.
    """
    deviation = pixels(0.3 * ((kernel - 1) / 2 - 1) + 0.8, size)
    image = Image.fromarray(np.round(coverage * 255).astype(np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(deviation)))
    return np.asarray(blurred >= max(blurred.max() / 2, 1))


def closed(mask: Mask, size: int) -> Mask:
    """Closing by a square of 6 nominal pixels; beyond the border lies what lies on it."""
    side = round(pixels(_CLOSING, size))
    if side < 2:
        return mask
    grown = maximum_filter(mask.astype(np.uint8), side, mode="nearest")
    # an even window has no middle: the second one leans the other way
    shrunk = minimum_filter(grown, side, mode="nearest", origin=-1 if side % 2 == 0 else 0)
    return np.asarray(shrunk > 0) | mask


def _inside(distance: NDArray[np.floating]) -> Field:
    """Coverage of a pixel at a distance (pixels, positive inside) from an edge."""
    return np.asarray(np.clip(distance + 0.5, 0, 1), dtype=np.float32)


def _coverage(canvas: Image.Image) -> Field:
    return np.asarray(np.asarray(canvas.reduce(_FINE)) / 255, dtype=np.float32)
