"""Anomaly maps as pictures: heat maps, overlays and side-by-side panels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.regions import find_regions

Outline = tuple[tuple[float, float], ...]
"""A polygon as (x, y) pairs, not closed."""
Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

# Equal steps of lightness from 0.24 to 0.95 in OKLCH, hue from indigo (275°) over crimson (10°) to pale yellow (98°).
_ANCHORS = (
    (0x15, 0x17, 0x49),
    (0x30, 0x1D, 0x6D),
    (0x51, 0x25, 0x88),
    (0x7B, 0x2D, 0x90),
    (0xAB, 0x31, 0x83),
    (0xD6, 0x3D, 0x64),
    (0xEF, 0x5C, 0x53),
    (0xFC, 0x83, 0x4D),
    (0xFD, 0xAC, 0x63),
    (0xFD, 0xCF, 0x82),
    (0xFE, 0xF0, 0xA8),
)
_SHADES = np.linspace(0, 1, 256)
COLOURS: NDArray[np.uint8] = np.stack(
    [np.interp(_SHADES, np.linspace(0, 1, len(_ANCHORS)), channel) for channel in zip(*_ANCHORS, strict=True)], axis=1
).astype(np.uint8)
"""256×3: the colour map."""
OPACITY: NDArray[np.uint8] = (255 * np.interp(_SHADES, [0.2, 0.45, 0.55, 1], [0, 0.25, 0.55, 0.65])).astype(np.uint8)
"""256: normal values leave the image visible; opacity rises steeply where the threshold lies."""

FINDING_COLOUR = (255, 255, 255)
TRUTH_COLOUR = (0, 230, 160)
_SHADOW = (16, 16, 24)


def colour_range(anomaly_map: NDArray[np.float32], pixel_threshold: float | None) -> tuple[float, float]:
    """The map values for the two ends of the colour map.

    With a threshold it lies in the middle, where violet turns to red, and colours can be compared between the
    images of a product. Without one the range is the image's own.
    """
    if pixel_threshold is not None and pixel_threshold > 0:
        return 0.0, 2 * pixel_threshold
    return float(anomaly_map.min()), float(anomaly_map.max())


def shades(anomaly_map: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Position of each map value on the colour map: uint8, h×w; `low` is 0, `high` 255, values beyond are clipped."""
    span = high - low if high > low else 1.0
    share = np.nan_to_num((np.asarray(anomaly_map, dtype=np.float64) - low) / span, nan=0.0)
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)


def heatmap(anomaly_map: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Colours of a map: uint8, h×w×4 (red, green, blue, opacity)."""
    position = shades(anomaly_map, low, high)
    return np.concatenate([COLOURS[position], OPACITY[position][..., None]], axis=2)


def overlay(
    image: Image.Image,
    anomaly_map: NDArray[np.float32],
    low: float,
    high: float,
    *,
    mask: NDArray[np.bool_] | None = None,
    truth: NDArray[np.bool_] | None = None,
    outlines: Sequence[tuple[Outline, Colour]] = (),
) -> Image.Image:
    """An image under its heat map.

    Args:
        image: any mode with 8 bits per channel.
        anomaly_map: h×w; stretched over the image.
        low, high: map values for the ends of the colour map, see `colour_range`.
        mask: findings, h×w; outlined in white.
        truth: ground truth, h×w at any resolution; outlined in green.
        outlines: findings in pixels of the image, each in a colour of its own; see `palette.coloured_outlines`.

    Returns:
        RGB, of the image's size.
    """
    position = Image.fromarray(shades(anomaly_map, low, high)).resize(image.size, Image.Resampling.BILINEAR)
    heat = Image.fromarray(COLOURS[np.asarray(position)]).convert("RGB")
    opacity = position.point(OPACITY.tolist())
    result = Image.composite(heat, image.convert("RGB"), opacity)
    return outlined(result, mask=mask, truth=truth, outlines=outlines)


def outlined(
    image: Image.Image,
    *,
    mask: NDArray[np.bool_] | None = None,
    truth: NDArray[np.bool_] | None = None,
    outlines: Sequence[tuple[Outline, Colour]] = (),
) -> Image.Image:
    """A copy in RGB with the outlines of ground truth (green) and findings, legible on any background.

    Findings are white where they come as a mask, and in their own colours where they come as `outlines`.
    """
    result = image.convert("RGB")
    if result is image:
        result = image.copy()
    draw = ImageDraw.Draw(result)
    width = max(1, round(max(result.size) / 200))
    marks = [(outline, TRUTH_COLOUR) for outline in _contours(truth, result.size)]
    marks += [(outline, FINDING_COLOUR) for outline in _contours(mask, result.size)]
    for outline, colour in (*marks, *outlines):
        points = [*outline, *outline[:2]]
        draw.line(points, fill=_SHADOW, width=3 * width, joint="curve")
        draw.line(points, fill=colour, width=width, joint="curve")
    return result


def panel(
    image: Image.Image,
    anomaly_map: NDArray[np.float32],
    low: float,
    high: float,
    *,
    mask: NDArray[np.bool_] | None = None,
    truth: NDArray[np.bool_] | None = None,
    outlines: Sequence[tuple[Outline, Colour]] = (),
    height: int = 320,
) -> Image.Image:
    """Image, image under its heat map, and image with outlines, side by side at one height. Arguments as `overlay`."""
    size = (max(1, round(image.width * height / image.height)), height)
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    scale = small.width / image.width, small.height / image.height
    marks = [(scaled(outline, scale), colour) for outline, colour in outlines]
    tiles = [small, overlay(small, anomaly_map, low, high), outlined(small, mask=mask, truth=truth, outlines=marks)]
    gap = max(2, height // 40)
    result = Image.new("RGB", (len(tiles) * size[0] + (len(tiles) - 1) * gap, height), "white")
    for i, tile in enumerate(tiles):
        result.paste(tile, (i * (size[0] + gap), 0))
    return result


def scaled(outline: Outline, scale: tuple[float, float]) -> Outline:
    """A polygon stretched in x and in y."""
    return tuple((x * scale[0], y * scale[1]) for x, y in outline)


def _contours(mask: NDArray[np.bool_] | None, size: tuple[int, int]) -> list[Outline]:
    """Outlines of the parts of a mask in pixels of a picture of `size`; none without a mask."""
    return [] if mask is None else [part.polygon for part in find_regions(mask.astype(np.float32), mask, size)]
