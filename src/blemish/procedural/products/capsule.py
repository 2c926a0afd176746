"""A two-coloured capsule with an imprint, on a matt tray."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blemish.procedural.defects import blob, crack, dent, lines, place
from blemish.procedural.noise import Field, coordinates, fractal_noise, smooth
from blemish.procedural.palette import Colours
from blemish.procedural.products.product import Flaw, Product
from blemish.procedural.shapes import Lamp, lit

_HALF, _RADIUS = 0.42, 0.3
_CAP = np.array([0.72, 0.16, 0.13], dtype=np.float32)
_BASE = np.array([0.90, 0.84, 0.68], dtype=np.float32)
_INK = np.array([0.13, 0.12, 0.16], dtype=np.float32)
_B = ((0, 0), (0, 4), (1.6, 4), (2, 3.4), (2, 2.6), (1.6, 2), (0, 2), (1.6, 2), (2, 1.4), (2, 0.6), (1.6, 0), (0, 0))
_SEVEN = ((3.2, 0), (5.2, 0), (4, 4))


def draw(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Colours:
    """Nearly level, a little off centre, with a highlight along its back."""
    y, x = coordinates(size)
    tilt = rng.normal(0, 0.12)
    centre = rng.uniform(-0.06, 0.06, size=2)
    cos, sin = math.cos(tilt), math.sin(tilt)
    dx, dy = x - float(centre[0]), y - float(centre[1])
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    edge = _RADIUS - np.hypot(u - np.clip(u, -_HALF, _HALF), v)
    body = np.clip(edge * (size / 2) + 0.5, 0, 1)
    cap = np.clip((u - 0.04) * (size / 4) + 0.5, 0, 1)

    tray = (
        0.5
        + 0.06 * (fractal_noise(size, rng, cells=4) - 0.5)
        + 0.015 * rng.standard_normal((size, size), dtype=np.float32)
    )
    shadow = smooth(np.roll(body, (size // 25, size // 40), axis=(0, 1)), size / 30)
    tint = np.array([0.96, 1.0, 1.04], dtype=np.float32)
    ground = (tray * (1 - 0.55 * shadow * (1 - body)))[:, :, None] * tint
    shell = _BASE + (_CAP - _BASE) * cap[:, :, None]
    shell = shell * (1 - 0.25 * np.exp(-(((u - 0.04) * size / 5) ** 2)))[:, :, None]
    shell = shell * rng.uniform(0.93, 1.05)
    shell = shell + (_INK - shell) * (0.85 * _imprint(size, centre, tilt, rng, flaw))[:, :, None]
    if flaw and flaw.kind == "spot":
        depth = blob(size, place(body, flaw.rng), flaw.rng.uniform(0.018, 0.03), flaw.rng)
        shell = shell * (1 - 0.7 * np.clip(depth * size / 3, 0, 1))[:, :, None]
    height = np.asarray(np.sqrt(1 - (1 - np.clip(edge / _RADIUS, 0, 1)) ** 2) * _RADIUS, dtype=np.float32)
    lamp = Lamp(rng.normal(-1.9, 0.1), rng.uniform(0.85, 1.0), ambient=0.45, gloss=0.7, sharpness=45)
    picture = lit(height, np.asarray(shell, dtype=np.float32), lamp)
    if flaw and flaw.kind == "crack":
        picture = crack(picture, body, flaw.rng)
    if flaw and flaw.kind == "dent":
        picture = dent(picture, body, flaw.rng)
    if flaw and flaw.kind == "chip":
        body = body * (1 - _bite(size, centre, tilt, flaw.rng))
    return np.asarray(ground + (picture - ground) * body[:, :, None], dtype=np.float32)


def _imprint(size: int, centre: NDArray[np.float64], tilt: float, rng: np.random.Generator, flaw: Flaw | None) -> Field:
    """Coverage of the ink on the pale half; a misprint is shifted, cut off or doubled."""
    strength = rng.uniform(0.85, 1)
    glyphs = [np.array(glyph) * 0.05 + (-0.42, -0.1) for glyph in (_B, _SEVEN)]
    if flaw and flaw.kind == "misprint":
        kind = int(flaw.rng.integers(3))
        shift = flaw.rng.uniform(0.04, 0.06, size=2) * flaw.rng.choice([-1, 1], size=2)
        glyphs = [glyphs[:1], [glyph + shift for glyph in glyphs], [*glyphs, *(g + shift * 0.6 for g in glyphs)]][kind]
    cos, sin = math.cos(tilt), math.sin(tilt)
    turned = [glyph @ np.array([[cos, sin], [-sin, cos]]) + centre for glyph in glyphs]
    return lines(size, [(glyph + 1) / 2 for glyph in turned], 0.014) * strength


def _bite(size: int, centre: NDArray[np.float64], tilt: float, rng: np.random.Generator) -> Field:
    """Coverage of a piece broken out of the outline."""
    along = rng.uniform(-_HALF, _HALF)
    side = rng.choice([-1, 1])
    u, v = along, side * _RADIUS * rng.uniform(1, 1.06)
    x = u * math.cos(tilt) - v * math.sin(tilt) + centre[0]
    y = u * math.sin(tilt) + v * math.cos(tilt) + centre[1]
    depth = blob(size, ((float(x) + 1) / 2, (float(y) + 1) / 2), rng.uniform(0.035, 0.055), rng)
    return np.asarray(np.clip(depth * size / 1.5, 0, 1))


CAPSULE = Product("capsule", ("chip", "crack", "dent", "misprint", "spot"), draw)
