"""A turned steel gear with five holes on a rubber mat."""

from __future__ import annotations

import math

import numpy as np

from blemish.procedural.defects import scratch, stain
from blemish.procedural.noise import Field, coordinates, fractal_noise, smooth, value_noise
from blemish.procedural.palette import Colours
from blemish.procedural.products.product import Flaw, Product
from blemish.procedural.shapes import Lamp, lit

_TEETH, _HOLES = 18, 5
_RUST = (0.62, 0.4, 0.25)


def draw(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Colours:
    """Any rotation, a little off centre, lit from the upper left."""
    y, x = coordinates(size)
    dx, dy = rng.uniform(-0.05, 0.05, size=2)
    x, y = x - float(dx), y - float(dy)
    turn = rng.uniform(0, 2 * math.pi)
    radius = np.hypot(x, y)
    angle = np.asarray(np.arctan2(y, x) + turn, dtype=np.float32)
    edge = np.minimum(_toothed(radius, angle, flaw), radius - 0.2)
    edge = np.minimum(edge, _holes(x, y, turn, flaw))
    body = np.asarray(np.clip(edge * (size / 2) + 0.5, 0, 1), dtype=np.float32)

    grooves = rng.random(size, dtype=np.float32)[np.minimum(radius * size / 1.6, size - 1).astype(np.intp)]
    steel = 0.62 + 0.1 * (grooves - 0.5) + 0.08 * (fractal_noise(size, rng, cells=3) - 0.5)
    steel = steel[:, :, None] * np.array([0.97, 1.0, 1.03], dtype=np.float32)
    mat = 0.13 + 0.05 * (value_noise(size, (size // 2, size // 2), rng) - 0.5)
    lamp = Lamp(rng.normal(-2.3, 0.12), rng.uniform(0.85, 1.0), ambient=0.35, gloss=0.5, sharpness=24, metallic=True)
    shadow = smooth(np.roll(body, (size // 50, size // 50), axis=(0, 1)), size / 60)
    ground = np.broadcast_to((mat * (1 - 0.6 * shadow))[:, :, None], (size, size, 3))
    bevel = np.sqrt(1 - (1 - np.clip(edge / 0.05, 0, 1)) ** 2) * 0.05
    picture = ground + (lit(bevel.astype(np.float32), steel, lamp) - ground) * body[:, :, None]
    if flaw and flaw.kind == "scratch":
        return scratch(picture, body, flaw.rng)
    if flaw and flaw.kind == "rust":
        return stain(picture, body, flaw.rng, _RUST)
    return np.asarray(picture, dtype=np.float32)


def _toothed(radius: Field, angle: Field, flaw: Flaw | None) -> Field:
    """Depth below the outer edge; a broken tooth is cut down to the root."""
    profile = np.clip(2.2 * np.sin(angle * _TEETH), -1, 1)
    if flaw and flaw.kind == "broken_tooth":
        tooth = (int(flaw.rng.integers(_TEETH)) + 0.25) * 2 * math.pi / _TEETH
        distance = np.abs((angle - tooth + math.pi) % (2 * math.pi) - math.pi)
        stump = flaw.rng.uniform(-1, -0.4) + 0.3 * np.sin(40 * angle)
        profile = np.where(distance < math.pi / _TEETH, np.minimum(profile, stump), profile)
    return np.asarray((0.74 + 0.07 * profile - radius) * 0.8, dtype=np.float32)


def _holes(x: Field, y: Field, turn: float, flaw: Flaw | None) -> Field:
    """Distance to the nearest of the five holes; one may be missing."""
    missing = int(flaw.rng.integers(_HOLES)) if flaw and flaw.kind == "missing_hole" else None
    distance = np.full(np.broadcast_shapes(x.shape, y.shape), 9, dtype=np.float32)
    for index in range(_HOLES):
        if index != missing:
            at = 2 * math.pi * index / _HOLES - turn
            distance = np.minimum(distance, np.hypot(x - 0.45 * math.cos(at), y - 0.45 * math.sin(at)) - 0.085)
    return distance


GEAR = Product("gear", ("broken_tooth", "missing_hole", "rust", "scratch"), draw)
