"""Fractals: iterated function systems with bent maps (flames) and Julia sets."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blemish.procedural.noise import Field, coordinates, normalise
from blemish.procedural.palette import Colours, colourise, palette

_CHAINS = 2048
_STEPS = 24


def flame(size: int, rng: np.random.Generator) -> Colours:
    """Log density of the chaos game of two to five contracting, perhaps bent maps: size×size×3 in [0, 1]."""
    maps = int(rng.integers(2, 6))
    linear = _contractions(rng, maps)
    offset = rng.uniform(-1, 1, size=(maps, 2)).astype(np.float32)
    bend = int(rng.integers(4))
    tint = palette(rng, maps)
    point = rng.uniform(-1, 1, size=(_CHAINS, 2)).astype(np.float32)
    points, owners = [], []
    for step in range(_STEPS):
        chosen = rng.integers(maps, size=_CHAINS)
        matrix = linear[chosen]
        point = matrix[:, :, 0] * point[:, :1] + matrix[:, :, 1] * point[:, 1:] + offset[chosen]
        point = _bend(point, bend)
        if step >= 6:
            points.append(point)
            owners.append(chosen)
    return _splat(size, np.concatenate(points), np.concatenate(owners), tint, rng)


def julia(size: int, rng: np.random.Generator) -> Colours:
    """Escape time of z² + c for c near the border of the Mandelbrot set, coloured: size×size×3 in [0, 1]."""
    angle = rng.uniform(0, 2 * math.pi)
    c = np.complex64((0.5 * np.exp(1j * angle) - 0.25 * np.exp(2j * angle)) * rng.uniform(1.0, 1.08))
    y, x = coordinates(size)
    zoom = rng.uniform(0.5, 1.5)
    z = ((x * zoom + rng.uniform(-0.4, 0.4)) + 1j * (y * zoom + rng.uniform(-0.4, 0.4))).astype(np.complex64)
    escape = np.zeros((size, size), dtype=np.float32)
    for _ in range(28):
        z = z * z + c
        square = z.real**2 + z.imag**2
        escape += square < 16
        z = np.where(square < 16, z, 4)
    return colourise(normalise(escape ** rng.uniform(0.4, 1.2)), rng)


def _contractions(rng: np.random.Generator, maps: int) -> Field:
    """Random 2×2 matrices with singular values below 1: maps×2×2."""
    first, second = (_rotations(rng.uniform(0, 2 * math.pi, size=maps)) for _ in range(2))
    singular = rng.uniform([0.55, 0.35], [0.98, 0.85], size=(maps, 2))
    singular[:, 1] *= rng.choice([-1, 1], size=maps)
    return np.asarray((first * singular[:, None, :]) @ second, dtype=np.float32)


def _rotations(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)


def _bend(point: Field, kind: int) -> Field:
    """Non-linear variations of a flame: none, sinusoidal, swirl, inversion in a circle."""
    if kind == 0:
        return point
    if kind == 1:
        return np.sin(point)
    square = (point**2).sum(axis=1, keepdims=True)
    if kind == 2:
        sin, cos = np.sin(square), np.cos(square)
        x, y = point[:, :1], point[:, 1:]
        return np.concatenate([x * sin - y * cos, x * cos + y * sin], axis=1)
    return np.asarray(point / (square + 0.3), dtype=np.float32)


def _splat(size: int, points: Field, owners: NDArray[np.int64], tint: Colours, rng: np.random.Generator) -> Colours:
    low, high = np.percentile(points, [1, 99], axis=0).astype(np.float32)
    scale = (size * rng.uniform(0.9, 1.4)) / max(float((high - low).max()), 1e-3)
    pixel = ((points - (low + high) / 2) * scale + (size / 2)).astype(np.int32)
    inside = ((pixel >= 0) & (pixel < size)).all(axis=1)
    flat = pixel[inside, 1] * size + pixel[inside, 0]
    shares = tint[owners[inside]].T
    sums = np.stack([np.bincount(flat, weights=share, minlength=size * size) for share in shares], axis=1)
    total = np.bincount(flat, minlength=size * size)[:, None].astype(np.float32)
    colour = sums.astype(np.float32) / np.maximum(total, 1)
    density = np.log1p(total)
    cover = np.minimum(density * (2 / max(float(density.max()), 1e-6)), 1)
    ground = palette(rng, 1)
    return np.asarray((ground + (colour - ground) * cover).reshape(size, size, 3), dtype=np.float32)
