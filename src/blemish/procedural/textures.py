"""Textures that fill a square: patterns (fields in [0, 1]) and their coloured versions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from blemish.procedural.noise import (
    Field,
    coordinates,
    fractal_noise,
    normalise,
    rotated,
    smooth,
    spectral_noise,
    value_noise,
    warped,
)
from blemish.procedural.palette import Colours, colourise, log_uniform, palette, to_pixels

Pattern = Callable[[int, np.random.Generator], Field]


def waves(size: int, rng: np.random.Generator) -> Field:
    """One to three oriented gratings, sinusoidal to square."""
    total = np.zeros((size, size), dtype=np.float32)
    for _ in range(int(rng.integers(1, 4))):
        u, _ = rotated(size, rng.uniform(0, math.pi))
        total += np.sin(u * (math.pi * log_uniform(rng, 1.5, size / 6)) + rng.uniform(0, 6.3))
    return normalise(np.tanh(total * log_uniform(rng, 0.5, 8)))


def gabor_noise(size: int, rng: np.random.Generator) -> Field:
    """Noise of one scale and orientation: white noise filtered by a Gaussian in frequency space."""
    angle, frequency, width = rng.uniform(0, math.pi), log_uniform(rng, 0.02, 0.25), log_uniform(rng, 0.15, 0.6)
    fy = np.fft.fftfreq(size)[:, None].astype(np.float32) - (frequency * math.sin(angle))
    fx = np.fft.fftfreq(size)[None, :].astype(np.float32) - (frequency * math.cos(angle))
    window = np.exp((fy * fy + fx * fx) * (-0.5 / (width * frequency) ** 2))
    noise = rng.standard_normal((size, size), dtype=np.float32)
    return normalise(np.fft.ifft2(np.fft.fft2(noise) * window).real.astype(np.float32))


def weave(size: int, rng: np.random.Generator) -> Field:
    """Plain or twill cloth: warp and weft threads, rounded, one over the other."""
    threads = log_uniform(rng, 4, size / 6)
    u, v = rotated(size, float(rng.choice([0.0, math.pi / 4, rng.uniform(0, math.pi)])))
    u, v = (u + 2) * (threads / 2), (v + 2) * (threads * rng.uniform(0.4, 0.8))
    column, row = np.floor(u), np.floor(v)
    period = int(rng.integers(2, 5))
    over = (column + row) % period == 0
    round_u, round_v = (4 * (t - f) * (1 - (t - f)) for t, f in ((u, column), (v, row)))
    bend_u, bend_v = 0.6 + 0.4 * round_u, 0.6 + 0.4 * round_v
    field = np.where(over, np.sqrt(round_u) * bend_v, np.sqrt(round_v) * bend_u * rng.uniform(0.6, 1))
    return np.asarray(field, dtype=np.float32)


def bricks(size: int, rng: np.random.Generator) -> Field:
    """Courses of bricks or tiles with joints; every brick has a shade of its own."""
    rows = log_uniform(rng, 2, 16)
    ratio = rng.uniform(0.35, 1.1)
    u, v = rotated(size, 0.0 if rng.random() < 0.5 else rng.uniform(0, math.pi))
    v = (v + 2) * (rows / 2)
    row = np.floor(v)
    u = (u + 2) * (rows * ratio / 2)
    u += row * float(rng.choice([0.0, 0.5, 0.33]))
    column = np.floor(u)
    joint = rng.uniform(0.02, 0.12)
    edge = np.minimum(np.minimum(u - column, 1 - (u - column)) / ratio, np.minimum(v - row, 1 - (v - row)))
    shades = rng.random(256, dtype=np.float32) * rng.uniform(0, 0.6) + 0.4
    shade = shades[((column * 37 + row * 101) % 256).astype(np.intp)]
    return np.asarray(shade * np.clip(edge / joint, 0, 1))


def dots(size: int, rng: np.random.Generator) -> Field:
    """A square or hexagonal lattice of dots or rings, perhaps of varying size."""
    pitch = log_uniform(rng, 3, 18)
    u, v = rotated(size, rng.uniform(0, math.pi))
    u, v = (u + 2) * (pitch / 2), (v + 2) * (pitch / 2)
    if rng.random() < 0.5:
        u += np.floor(v) * 0.5
    radius = rng.uniform(0.2, 0.45) * (fractal_noise(size, rng) + 0.5 if rng.random() < 0.4 else 1)
    distance = np.hypot(u - np.floor(u) - 0.5, v - np.floor(v) - 0.5)
    sharp = size / pitch / rng.uniform(1, 4)
    field = np.clip((radius - distance) * sharp + 0.5, 0, 1)
    if rng.random() < 0.3:
        field = field - np.clip((radius * 0.6 - distance) * sharp + 0.5, 0, 1)
    return np.asarray(field, dtype=np.float32)


def grid_lines(size: int, rng: np.random.Generator) -> Field:
    """Lines in two directions, as of a wire mesh or graph paper."""
    angle = rng.uniform(0, math.pi)
    field = np.zeros((size, size), dtype=np.float32)
    for turn in (0.0, float(rng.choice([math.pi / 2, math.pi / 3]))):
        u, _ = rotated(size, angle + turn)
        u = u * log_uniform(rng, 1.5, size / 10)
        distance = np.abs(u - np.round(u))
        field = np.maximum(field, np.clip(1 - distance / rng.uniform(0.06, 0.3), 0, 1))
    return field


def cells(size: int, rng: np.random.Generator) -> Field:
    """Voronoi cells: distance to the nearest point, walls between cells, or flat shades."""
    count = log_uniform(rng, 2, size / 8)
    u, v = rotated(size, rng.uniform(0, math.pi))
    u, v = (u + 2) * (count / 2), (v + 2) * (count / 2 * rng.uniform(0.5, 1))
    column, row = np.floor(u), np.floor(v)
    cell = row.astype(np.int32) * 61 + column.astype(np.int32) * 17
    u, v = u - column, v - row
    jitter = rng.uniform(0.5, 1)
    points = (rng.random((2, 1024), dtype=np.float32) - 0.5) * jitter + 0.5
    nearest = np.full((size, size), 9, dtype=np.float32)
    second = nearest.copy()
    owner = np.zeros((size, size), dtype=np.int32)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            index = (cell + (down * 61 + across * 17)) & 1023
            dx, dy = points[0][index] + across - u, points[1][index] + down - v
            distance = dx * dx + dy * dy
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            owner = np.where(closer, index, owner)
            nearest = np.minimum(nearest, distance)
    kind = rng.random()
    if kind < 0.3:
        return rng.random(1024, dtype=np.float32)[owner]
    if kind < 0.6:
        return normalise(np.sqrt(nearest))
    wall = np.clip((np.sqrt(second) - np.sqrt(nearest)) / rng.uniform(0.05, 0.4), 0, 1)
    return wall * (0.6 + 0.4 * rng.random(1024, dtype=np.float32)[owner])


def wood(size: int, rng: np.random.Generator) -> Field:
    """Growth rings cut lengthwise, with pores along the grain."""
    angle = rng.uniform(0, math.pi)
    u, v = rotated(size, angle)
    bend = fractal_noise(size, rng, cells=1) * rng.uniform(0.1, 0.8)
    distance = np.hypot(u * rng.uniform(0.05, 0.5), v + rng.uniform(-1, 1)) + bend
    rings = (distance * log_uniform(rng, 3, 14)) % 1
    fibres = (
        value_noise(size, (2, size // 2), rng) if abs(math.cos(angle)) < 0.7 else value_noise(size, (size // 2, 2), rng)
    )
    return normalise(rings**2 * 0.7 + fibres * rng.uniform(0.1, 0.5))


def marble(size: int, rng: np.random.Generator) -> Field:
    """Veins: a warped wave through turbulence."""
    u, _ = rotated(size, rng.uniform(0, math.pi))
    phase = u * rng.uniform(1, 8) + fractal_noise(size, rng) * rng.uniform(3, 14)
    return normalise(np.abs(np.sin(phase)) ** rng.uniform(0.2, 1.5))


def brushed(size: int, rng: np.random.Generator) -> Field:
    """Brushed or turned metal: noise along lines or along circles."""
    if rng.random() < 0.6:
        noise = value_noise(size, (int(rng.integers(1, 5)), size), rng)
        noise = noise if rng.random() < 0.5 else noise.T
    else:
        y, x = coordinates(size)
        radius = np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.5, 0.5))
        rings = rng.random(2 * size, dtype=np.float32)
        noise = rings[np.minimum(radius * (size / 2), 2 * size - 1).astype(np.intp)]
    return normalise(noise * rng.uniform(0.1, 0.6) + fractal_noise(size, rng, cells=1))


def clouds(size: int, rng: np.random.Generator) -> Field:
    """Fractal noise of random roughness, perhaps warped or folded into ridges."""
    field = spectral_noise(size, rng.uniform(0.6, 2.2), rng)
    if rng.random() < 0.4:
        field = warped(field, rng, amplitude=size * rng.uniform(0.05, 0.3))
    return np.abs(2 * field - 1) if rng.random() < 0.3 else field


def grains(size: int, rng: np.random.Generator) -> Field:
    """Sand, rust or leather: smoothed noise, cut at a level or lit from one side."""
    noise = smooth(rng.random((size, size), dtype=np.float32), log_uniform(rng, 0.4, size / 30))
    kind = rng.random()
    if kind < 0.35:
        return (normalise(noise) > rng.uniform(0.35, 0.65)).astype(np.float32)
    if kind < 0.7:
        return normalise(noise - np.roll(noise, (1, int(rng.integers(-1, 2))), axis=(0, 1)))
    return normalise(noise)


def scales(size: int, rng: np.random.Generator) -> Field:
    """Overlapping rounded scales or roof tiles in staggered rows."""
    pitch = log_uniform(rng, 3, 14)
    u, v = rotated(size, rng.uniform(0, 2 * math.pi))
    u, v = (u + 2) * (pitch / 2), (v + 2) * (pitch / 2)
    field = np.zeros((size, size), dtype=np.float32)
    for layer in (1.0, 0.0):
        row = np.floor(v - (layer * 0.5) + 0.5)
        across = u + (layer / 2)
        dx = across - np.floor(across) - 0.5
        dy = v - row + (0.5 - 0.5 * layer)
        distance = np.hypot(dx, dy * 0.7)
        field = np.where(distance < 0.5, 1 - distance * 1.6, field)
    return normalise(field)


PATTERNS: tuple[Pattern, ...] = (
    waves,
    gabor_noise,
    weave,
    bricks,
    dots,
    grid_lines,
    cells,
    wood,
    marble,
    brushed,
    clouds,
    grains,
    scales,
)


def pattern(size: int, rng: np.random.Generator) -> Field:
    """A random pattern, perhaps distorted and perhaps roughened with noise: a field in [0, 1]."""
    field = PATTERNS[int(rng.integers(len(PATTERNS)))](size, rng)
    if rng.random() < 0.25:
        field = warped(field, rng, amplitude=size * log_uniform(rng, 0.01, 0.12))
    if rng.random() < 0.4:
        share = rng.uniform(0.1, 0.5)
        field = field * (1 - share) + share * fractal_noise(size, rng, cells=int(rng.integers(1, 6)))
    return field


def coloured_texture(size: int, rng: np.random.Generator) -> Colours:
    """A random pattern in random colours, or two colourings chosen by a pattern: size×size×3 in [0, 1]."""
    if rng.random() < 0.6:
        return colourise(pattern(size, rng), rng)
    field = pattern(size, rng)[:, :, None]
    ground, ink = (
        colourise(fractal_noise(size, rng), rng) if rng.random() < 0.5 else palette(rng, 1)[None] for _ in range(2)
    )
    return np.asarray(ground + (ink - ground) * field, dtype=np.float32)


def texture(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random coloured texture: size×size×3."""
    return to_pixels(coloured_texture(size, rng))
