"""Dead leaves: shapes of all sizes that cover one another, the simplest model of natural image statistics."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.procedural.noise import Field, coordinates, fractal_noise
from blemish.procedural.palette import Colours, log_uniform, palette
from blemish.procedural.shapes import outline
from blemish.procedural.textures import pattern


def dead_leaves(size: int, rng: np.random.Generator) -> Colours:
    """60 to 300 occluding leaves with power-law radii, textured, and flat, tilted or round: size×size×3 in [0, 1]."""
    count = int(log_uniform(rng, 60, 300))
    radius = _power_law(rng, count, rng.uniform(1.1, 2.6), low=0.03, high=rng.uniform(0.3, 0.9))
    centre = rng.uniform(-1.1, 1.1, size=(count, 2)).astype(np.float32)
    owner = _draw(size, radius, centre, rng)
    count += 1
    radius = np.concatenate([np.full(1, 2, dtype=np.float32), radius])
    centre = np.concatenate([np.zeros((1, 2), dtype=np.float32), centre])

    colours = palette(rng, int(rng.integers(3, 12)))
    base = colours[rng.integers(len(colours), size=count)] + rng.normal(0, 0.06, size=(count, 1)).astype(np.float32)
    layers = [pattern(size, rng) if rng.random() < 0.7 else fractal_noise(size, rng, cells=4) for _ in range(3)]
    field = np.stack(layers).reshape(-1)
    layer = rng.integers(len(layers), size=count)
    depth = (rng.random(count) < rng.uniform(0, 1)) * rng.uniform(-0.7, 0.7, size=count)
    texture = field[(layer * size * size)[owner] + np.arange(size * size).reshape(size, size)]
    picture = base[owner] * (1 + (texture - 0.5) * depth.astype(np.float32)[owner])[:, :, None]
    return np.asarray(picture * _shade(size, owner, radius, centre, rng)[:, :, None])


def _power_law(rng: np.random.Generator, count: int, exponent: float, low: float, high: float) -> Field:
    """Radii whose density falls as radius^−exponent."""
    power = 1 - exponent
    edges = low**power, high**power
    return np.asarray((edges[0] + rng.random(count) * (edges[1] - edges[0])) ** (1 / power), dtype=np.float32)


def _draw(size: int, radius: Field, centre: Field, rng: np.random.Generator) -> NDArray[np.int32]:
    """Number of the uppermost leaf at each pixel, 0 where there is none."""
    count = len(radius)
    templates = np.stack([outline(rng) for _ in range(int(rng.integers(1, 6)))])
    angle = rng.uniform(0, 2 * math.pi, size=count).astype(np.float32)
    cos, sin = (np.cos(angle) * radius)[:, None], (np.sin(angle) * radius)[:, None]
    points = templates[rng.integers(len(templates), size=count)]
    x = points[:, :, 0] * cos - points[:, :, 1] * sin + centre[:, 1:]
    y = points[:, :, 0] * sin + points[:, :, 1] * cos + centre[:, :1]
    corners = ((np.stack([x, y], axis=2) + 1) * (size / 2)).reshape(count, -1).tolist()
    canvas = Image.new("I", (size, size))
    draw = ImageDraw.Draw(canvas)
    order = np.argsort(-radius) if rng.random() < 0.4 else np.arange(count)
    for index in order.tolist():
        draw.polygon(corners[index], fill=index + 1)
    return np.array(canvas, dtype=np.int32)


def _shade(size: int, owner: NDArray[np.int32], radius: Field, centre: Field, rng: np.random.Generator) -> Field:
    """Brightness of flat, tilted or ball-like leaves under one lamp: about 0.3 to 1.3."""
    kind = rng.random()
    if kind < 0.35:
        return np.ones((size, size), dtype=np.float32)
    y, x = coordinates(size)
    dx, dy = ((x - centre[:, 1][owner]) / radius[owner], (y - centre[:, 0][owner]) / radius[owner])
    angle = rng.uniform(0, 2 * math.pi)
    slant = dx * math.cos(angle) + dy * math.sin(angle)
    if kind < 0.65:
        strength = rng.normal(0, 0.35, size=len(radius)).astype(np.float32)
        return np.clip(1 + slant * strength[owner], 0.3, 1.4)
    rise = np.sqrt(np.maximum(1 - dx * dx - dy * dy, 0.02))
    return np.asarray(0.3 + 0.8 * np.clip(0.55 * slant + 0.8 * rise, 0, 1))
