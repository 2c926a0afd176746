"""Defects of the demo products, drawn onto a picture before the camera sees it.

Every function takes a picture (size×size×3 in [0, 1]) and the part's coverage (size×size in [0, 1]), in which the
defect stays, and returns the new picture. Lengths are shares of the picture's side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.procedural.noise import Field, fractal_noise, smooth
from blemish.procedural.palette import Colours

_SCALE = 4


def lines(size: int, paths: Sequence[NDArray[np.floating]], width: float | Sequence[float]) -> Field:
    """Antialiased coverage of open paths.

    Args:
        size: side in pixels.
        paths: each n×2 points (x, y), as shares of the side.
        width: of all paths or of each, as a share of the side.
    """
    canvas = Image.new("L", (size * _SCALE, size * _SCALE))
    draw = ImageDraw.Draw(canvas)
    widths = [width] * len(paths) if isinstance(width, float) else width
    for path, breadth in zip(paths, widths, strict=True):
        points = (np.asarray(path) * size * _SCALE).ravel().tolist()
        draw.line(points, fill=255, width=max(1, round(breadth * size * _SCALE)), joint="curve")
    return np.asarray(np.asarray(canvas.reduce(_SCALE)) / 255, dtype=np.float32)


def scratch(picture: Colours, part: Field, rng: np.random.Generator) -> Colours:
    """One to three nearly parallel, slightly bent scratches: a bright furrow with a dark edge."""
    size = part.shape[0]
    x, y = place(part, rng)
    heading, bow = rng.uniform(0, 2 * math.pi), rng.uniform(-0.5, 0.5)
    paths = []
    for number in range(int(rng.integers(1, 4))):
        turn = np.linspace(-0.5, 0.5, 24) * rng.uniform(0.7, 1)
        length = rng.uniform(0.18, 0.34)
        along, across = turn * length, bow * turn**2 * length + number * 0.028
        cos, sin = math.cos(heading), math.sin(heading)
        paths.append(np.stack([x + along * cos - across * sin, y + along * sin + across * cos], axis=1))
    width = rng.uniform(0.006, 0.011)
    furrow, edge = lines(size, paths, width) * part, lines(size, [p + width * 0.8 for p in paths], width) * part
    strength = rng.uniform(0.4, 0.65)
    darker = picture * (1 - strength * 0.8 * edge)[:, :, None]
    return np.asarray(darker + (1 - darker) * (strength * furrow)[:, :, None], dtype=np.float32)


def crack(picture: Colours, part: Field, rng: np.random.Generator) -> Colours:
    """A dark jagged line with a few branches, thin at its ends."""
    size = part.shape[0]
    start, heading = np.array(place(part, rng)), rng.uniform(0, 2 * math.pi)
    paths, widths = [], []
    width = rng.uniform(0.010, 0.016)
    for side in (0.0, math.pi):
        path = _walk(start, heading + side, int(rng.integers(8, 16)), rng)
        for index in range(len(path) - 1):
            paths.append(path[index : index + 2])
            widths.append(width * (1 - 0.7 * index / len(path)))
        paths.append(_walk(path[len(path) // 2], heading + side + rng.choice([-0.8, 0.8]), 5, rng))
        widths.append(width * 0.5)
    return np.asarray(picture * (1 - rng.uniform(0.6, 0.8) * lines(size, paths, widths) * part)[:, :, None])


def stain(picture: Colours, part: Field, rng: np.random.Generator, tint: Sequence[float]) -> Colours:
    """A translucent blot that multiplies the colours by `tint`, strongest at its rim."""
    size = part.shape[0]
    depth = blob(size, place(part, rng), rng.uniform(0.045, 0.1), rng)
    inside = np.clip(depth * size / 4, 0, 1)
    rim = np.exp(-((depth * size / 6) ** 2))
    mottle = 0.7 + 0.3 * fractal_noise(size, rng, cells=8)
    strength = inside * (0.75 + 0.25 * rim) * mottle * rng.uniform(0.75, 1) * part
    return np.asarray(picture * (1 - strength[:, :, None] * (1 - np.array(tint, dtype=np.float32))))


def hole(picture: Colours, part: Field, rng: np.random.Generator) -> Colours:
    """An irregular dark pit, lit on its far rim."""
    size = part.shape[0]
    inside = blob(size, place(part, rng), rng.uniform(0.022, 0.05), rng)
    pit = np.clip(inside * size / 2, 0, 1) * part
    shift = max(1, round(0.006 * size))
    rim = np.roll(pit, (shift, shift), axis=(0, 1)) * part
    brighter = picture + (1 - picture) * (0.35 * rim * (1 - pit))[:, :, None]
    return np.asarray(brighter * (1 - 0.85 * pit)[:, :, None], dtype=np.float32)


def dent(picture: Colours, part: Field, rng: np.random.Generator) -> Colours:
    """A shallow hollow: dark towards the lamp, bright on the other side."""
    size = part.shape[0]
    x, y = place(part, rng)
    radius, angle = rng.uniform(0.04, 0.07), rng.uniform(0, 2 * math.pi)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    dx, dy = (axis[None, :] - x) / radius, (axis[:, None] - y) / radius
    bell = np.exp(-1.2 * (dx * dx + dy * dy))
    slope = (dx * math.cos(angle) + dy * math.sin(angle)) * bell
    return np.asarray(picture * (1 + (0.9 * slope - 0.45 * bell) * part)[:, :, None], dtype=np.float32)


def blob(size: int, centre: tuple[float, float], radius: float, rng: np.random.Generator) -> Field:
    """Distance to the edge of an irregular blob, positive inside, as a share of the side."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    dx, dy = axis[None, :] - centre[0], axis[:, None] - centre[1]
    angle, flat = rng.uniform(0, math.pi), rng.uniform(0.6, 1)
    u, v = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
    theta = np.arctan2(v, u)
    bumps = sum(rng.uniform(0, 0.25) / k * np.sin(k * theta + rng.uniform(0, 6.3)) for k in range(2, 7))
    return np.asarray(radius * (1 + bumps) - np.hypot(u, v / flat), dtype=np.float32)


def place(part: Field, rng: np.random.Generator, margin: float = 0.04) -> tuple[float, float]:
    """A random point (x, y) of the part, away from its edge, as shares of the side."""
    size = part.shape[0]
    inner = np.flatnonzero(smooth(part, margin * size) > 0.9)
    row, column = divmod(int(rng.choice(inner)), size)
    return (column + 0.5) / size, (row + 0.5) / size


def _walk(start: NDArray[np.floating], heading: float, steps: int, rng: np.random.Generator) -> NDArray[np.floating]:
    turns = heading + rng.normal(0, 0.5, size=steps)
    moves = np.stack([np.cos(turns), np.sin(turns)], axis=1) * 0.018
    return np.concatenate([start[None], start + np.cumsum(moves, axis=0)])
