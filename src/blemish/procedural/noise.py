"""Random fields: size×size float32 arrays in [0, 1] unless said otherwise."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

_PHASES = 4


def normalise(field: NDArray[np.floating[Any]]) -> Field:
    """Stretch to [0, 1]; a constant field becomes 0."""
    low, high = float(field.min()), float(field.max())
    return (field - low) * (1 / (high - low if high > low else 1))


def coordinates(size: int) -> tuple[Field, Field]:
    """Pixel centres as a column y and a row x, both in (-1, 1)."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    return axis[:, None], axis[None, :]


def rotated(size: int, angle: float) -> tuple[Field, Field]:
    """Full-size coordinates (u, v), turned by `angle` radians; the inscribed circle spans (-1, 1)."""
    y, x = coordinates(size)
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def smooth(field: Field, radius: float) -> Field:
    """Gaussian blur with a standard deviation of `radius` pixels, wrapped at the borders."""
    height, width = field.shape
    decay = -2 * (math.pi * radius) ** 2
    fy = np.fft.fftfreq(height)[:, None].astype(np.float32)
    fx = np.fft.rfftfreq(width).astype(np.float32)
    spectrum = np.fft.rfft2(field) * (np.exp(decay * fy * fy) * np.exp(decay * fx * fx))
    return np.fft.irfft2(spectrum, s=(height, width)).astype(np.float32)


def value_noise(size: int, cells: tuple[int, int], rng: np.random.Generator) -> Field:
    """Random numbers on cells (down, across), interpolated cubically; not normalised."""
    grid = rng.random(size=(cells[0] + 4, cells[1] + 4), dtype=np.float32)
    down, across = (int(phase) for phase in rng.integers(_PHASES, size=2))
    rows = _interpolate(grid, *_cubic(size, cells[0], down))
    return _interpolate(np.ascontiguousarray(rows.T), *_cubic(size, cells[1], across)).T


def _interpolate(knots: Field, cell: NDArray[np.intp], weights: Field) -> Field:
    """Weighted sums of four successive rows, without a matrix product: threads of BLAS cost more than they bring."""
    total = weights[0] * knots[cell]
    for tap in (1, 2, 3):
        total += weights[tap] * knots[cell + tap]
    return np.asarray(total)


@lru_cache(maxsize=256)
def _cubic(size: int, cells: int, phase: int) -> tuple[NDArray[np.intp], Field]:
    """First of four knots (size) and Catmull–Rom weights (4×size×1) of pixels that start `phase` / 4 after knot 1."""
    position = (np.arange(size) + 0.5) * (cells / size) + phase / _PHASES
    cell = position.astype(np.intp)
    t = (position - cell)[:, None]
    taps = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    return cell, np.stack(taps).astype(np.float32)


def fractal_noise(size: int, rng: np.random.Generator, *, cells: int = 2, gain: float = 0.5, stretch: int = 1) -> Field:
    """Sum of octaves of value noise, normalised; `stretch` > 1 makes its features longer down than across."""
    total = np.zeros((size, size), dtype=np.float32)
    amplitude = 1.0
    while cells <= size // 2:
        total += amplitude * value_noise(size, (max(cells // stretch, 1), cells), rng)
        cells, amplitude = cells * 2, amplitude * gain
    return normalise(total)


def spectral_noise(size: int, exponent: float, rng: np.random.Generator) -> Field:
    """Noise of random phase whose amplitude falls as 1 / frequency^exponent (natural images: about 1), normalised."""
    fy = np.fft.fftfreq(size)[:, None].astype(np.float32)
    fx = np.fft.rfftfreq(size)[None, :].astype(np.float32)
    skew = math.exp(rng.uniform(-0.7, 0.7))
    power = fy * fy * skew + fx * fx / skew
    power[0, 0] = 1
    white = rng.standard_normal((2, size, size // 2 + 1), dtype=np.float32)
    spectrum = (white[0] + 1j * white[1]) * power ** (-exponent / 2)
    return normalise(np.fft.irfft2(spectrum, s=(size, size)).astype(np.float32))


def warped(field: Field, rng: np.random.Generator, *, amplitude: float, cells: int = 3) -> Field:
    """The field (or H×W×C picture) displaced by smooth noise of up to `amplitude` pixels, wrapped at the borders."""
    size = field.shape[0]
    grid = np.arange(size, dtype=np.float32)
    shift = [(value_noise(size, (cells, cells), rng) - 0.5) * (2 * amplitude) for _ in range(2)]
    rows = (grid[:, None] + shift[0]).astype(np.int32) % size
    columns = (grid[None, :] + shift[1]).astype(np.int32) % size
    return np.asarray(field[rows, columns])
