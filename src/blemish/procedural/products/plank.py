"""Three planed boards, side by side."""

from __future__ import annotations

import numpy as np

from blemish.procedural.defects import crack, hole, scratch, stain
from blemish.procedural.noise import Field, coordinates, fractal_noise, value_noise
from blemish.procedural.palette import Colours
from blemish.procedural.products.product import Flaw, Product

_BOARDS = 3
_PALE = np.array([0.80, 0.62, 0.42], dtype=np.float32)
_DARK = np.array([0.52, 0.34, 0.19], dtype=np.float32)
_WINE = (0.45, 0.28, 0.3)


def draw(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Colours:
    """Grain along the boards, different on each; the joints wander a little."""
    y, x = coordinates(size)
    position = (x + 1) * (_BOARDS / 2) + rng.uniform(-0.15, 0.15) + y * rng.normal(0, 0.008)
    board = np.clip(np.floor(position), 0, _BOARDS - 1).astype(np.intp)
    joint = np.clip(np.abs(position - np.round(position)) * (size / _BOARDS / 2.5) - 0.2, 0, 1)
    joint[(np.round(position) < 1) | (np.round(position) > _BOARDS - 1)] = 1
    grain = np.stack([_grain(size, rng) for _ in range(_BOARDS)])
    tone = rng.uniform(0.9, 1.1, size=_BOARDS).astype(np.float32)
    rows, columns = np.indices((size, size))
    share = grain[board, rows, columns][:, :, None]
    fibres = 0.1 * (value_noise(size, (6, size // 2), rng) - 0.5) + 0.06 * (value_noise(size, (40, size), rng) - 0.5)
    picture = (_PALE + (_DARK - _PALE) * share) * (tone[board] + fibres)[:, :, None]
    picture = np.asarray(picture * (0.3 + 0.7 * joint)[:, :, None], dtype=np.float32)
    whole = np.ones((size, size), dtype=np.float32)
    if flaw is None:
        return picture
    if flaw.kind == "stain":
        return stain(picture, whole, flaw.rng, _WINE)
    return _SURFACE[flaw.kind](picture, whole, flaw.rng)


def _grain(size: int, rng: np.random.Generator) -> Field:
    """Growth rings cut lengthwise, in [0, 1]: dark late wood fading into pale early wood."""
    y, x = coordinates(size)
    bend = 0.12 * fractal_noise(size, rng, cells=1, stretch=2)
    centre, tilt = rng.uniform(-1.5, 1.5), rng.normal(0, 0.05)
    distance = np.sqrt((x - centre + tilt * y) ** 2 + (0.12 * y + rng.uniform(-0.2, 0.2)) ** 2) + bend
    ring = (distance * rng.uniform(9, 13)) % 1
    late = np.where(ring < 0.85, (ring / 0.85) ** 2, (1 - ring) / 0.15)
    return np.asarray(late * (0.4 + 0.3 * fractal_noise(size, rng, cells=1)), dtype=np.float32)


_SURFACE = {"crack": crack, "hole": hole, "scratch": scratch}
PLANK = Product("plank", ("crack", "hole", "scratch", "stain"), draw)
