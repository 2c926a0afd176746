"""Scenes: pictures as varied as we can make them without a camera, to train a backbone on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from blemish.procedural.degrade import develop, illuminate, photograph
from blemish.procedural.fractals import flame, julia
from blemish.procedural.leaves import dead_leaves
from blemish.procedural.noise import Field, coordinates, fractal_noise, smooth, spectral_noise
from blemish.procedural.palette import Colours, colourise, palette
from blemish.procedural.shapes import lit, random_lamp, silhouette, solid
from blemish.procedural.strokes import strokes
from blemish.procedural.textures import coloured_texture, pattern

Painter = Callable[[int, np.random.Generator], Colours]


def scene(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One random scene, size×size×3.

    One to three layers (textures, dead leaves, lit bodies, reliefs, drawings, fractals, gradients), laid over one
    another through masks, then light, tone, blur, noise and compression.
    """
    return photograph(develop(scene_colours(size, rng), rng), rng)


def scene_colours(size: int, rng: np.random.Generator) -> Colours:
    """The same before a camera sees it: layers and light."""
    picture = _layer(size, rng)
    while rng.random() < 0.4:
        picture = _overlay(picture, _layer(size, rng), rng)
    return illuminate(picture, rng) if rng.random() < 0.5 else picture


def gradient(size: int, rng: np.random.Generator) -> Colours:
    """A plain or smoothly shaded ground."""
    colours = palette(rng, 2)
    y, x = coordinates(size)
    field = np.clip(0.5 + x * rng.normal(0, 0.4) + y * rng.normal(0, 0.4), 0, 1)
    return np.asarray(colours[0] + (colours[1] - colours[0]) * field[:, :, None], dtype=np.float32)


def coloured_noise(size: int, rng: np.random.Generator) -> Colours:
    """1/f noise with colour planes of its own or one shared plane."""
    if rng.random() < 0.5:
        return colourise(spectral_noise(size, rng.uniform(0.7, 2), rng), rng)
    exponent = rng.uniform(0.8, 1.8)
    planes = np.stack([spectral_noise(size, exponent, rng) for _ in range(3)], axis=2)
    shared = planes.mean(axis=2, keepdims=True)
    return np.asarray(shared + (planes - shared) * rng.uniform(0.1, 1), dtype=np.float32)


def drawing(size: int, rng: np.random.Generator) -> Colours:
    """Strokes in one colour on a ground."""
    ground = _ground(size, rng)
    for _ in range(int(rng.integers(1, 3))):
        ground = ground + (palette(rng, 1)[0] - ground) * strokes(size, rng)[:, :, None]
    return ground


def bodies(size: int, rng: np.random.Generator) -> Colours:
    """One to eight solid bodies with shadows on a ground, lit from one side, like parts on a bench."""
    picture = _ground(size, rng)
    height = fractal_noise(size, rng, cells=8) * rng.uniform(0, 0.02)
    surfaces = [coloured_texture(size, rng) if rng.random() < 0.6 else gradient(size, rng) for _ in range(2)]
    for _ in range(int(rng.integers(1, 9))):
        rise, coverage = solid(size, rng)
        picture = picture * (1 - 0.5 * _shadow(coverage, rng))[:, :, None]
        surface = surfaces[int(rng.integers(2))]
        picture = picture + (surface - picture) * coverage[:, :, None]
        height = np.where(coverage > 0.5, rise + height * 0.5, height)
    return lit(height, picture, random_lamp(rng)) * rng.uniform(0.9, 1.3)


def relief(size: int, rng: np.random.Generator) -> Colours:
    """A pattern, drawing or noise stamped into a lit surface."""
    field = pattern(size, rng) if rng.random() < 0.6 else strokes(size, rng)
    height = smooth(field, rng.uniform(0.5, size / 50)) * rng.uniform(-0.08, 0.08)
    return lit(height, _ground(size, rng), random_lamp(rng)) * rng.uniform(0.9, 1.3)


_PAINTERS: tuple[tuple[Painter, float], ...] = (
    (coloured_texture, 0.22),
    (dead_leaves, 0.24),
    (bodies, 0.18),
    (relief, 0.12),
    (drawing, 0.1),
    (flame, 0.05),
    (julia, 0.02),
    (coloured_noise, 0.05),
    (gradient, 0.02),
)
_EDGES = np.cumsum([share for _, share in _PAINTERS])


def _layer(size: int, rng: np.random.Generator) -> Colours:
    return _PAINTERS[int(np.searchsorted(_EDGES, rng.random() * _EDGES[-1], side="right"))][0](size, rng)


def _ground(size: int, rng: np.random.Generator) -> Colours:
    return gradient(size, rng) if rng.random() < 0.4 else coloured_texture(size, rng)


def _shadow(coverage: Field, rng: np.random.Generator) -> Field:
    """The coverage displaced and blurred, as a body's soft shadow."""
    size = coverage.shape[0]
    down, across = (int(shift) for shift in rng.integers(-size // 20, size // 20 + 1, size=2))
    return smooth(np.roll(coverage, (down, across), axis=(0, 1)), size / 40)


def _overlay(below: Colours, above: Colours, rng: np.random.Generator) -> Colours:
    """Lay one picture over another through a mask, or mix them evenly."""
    size = below.shape[0]
    kind = rng.random()
    mask: Field
    if kind < 0.45:
        mask = silhouette(size, rng)
        if rng.random() < 0.4:
            below = below * (1 - 0.6 * _shadow(mask, rng))[:, :, None]
    elif kind < 0.75:
        noise = spectral_noise(size, rng.uniform(1.2, 2.4), rng) - rng.uniform(0.35, 0.65)
        mask = np.clip(noise * rng.uniform(4, 80) + 0.5, 0, 1)
    elif kind < 0.9:
        mask = pattern(size, rng)
    else:
        mask = np.full((size, size), rng.uniform(0.25, 0.75), dtype=np.float32)
    return np.asarray(below + (above - below) * mask[:, :, None], dtype=np.float32)
