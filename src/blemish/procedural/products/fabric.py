"""Plain-woven cloth with a coloured stripe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.procedural.defects import blob, place, stain
from blemish.procedural.noise import Field, fractal_noise, rotated, value_noise
from blemish.procedural.palette import Colours
from blemish.procedural.products.product import Flaw, Product

_THREADS = 30
_STRIPE = 6
_GROUND = np.array([0.72, 0.68, 0.58], dtype=np.float32)
_COLOURED = np.array([0.24, 0.36, 0.55], dtype=np.float32)
_GAP = np.array([0.1, 0.09, 0.08], dtype=np.float32)
_OIL = (0.5, 0.46, 0.38)


def draw(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Colours:
    """Any phase, slightly turned and uneven."""
    u, v = rotated(size, rng.normal(0, 0.025))
    sway = [0.03 * (value_noise(size, (3, 3), rng) - 0.5) for _ in range(2)]
    offset = rng.uniform(0, 2 * _STRIPE, size=2)
    u = np.asarray((u + sway[0] + 2) * (_THREADS / 2) + offset[0], dtype=np.float32)
    v = np.asarray((v + sway[1] + 2) * (_THREADS / 2) + offset[1], dtype=np.float32)
    thickness = 0.9 + 0.1 * rng.random((2, 256), dtype=np.float32)
    shade = 1 + 0.12 * (rng.random((2, 256), dtype=np.float32) - 0.5)
    fibre = 0.12 * (value_noise(size, (size // 2, size // 2), rng) - 0.5) + 0.15 * (fractal_noise(size, rng) - 0.5)
    column, row = np.floor(u), np.floor(v)
    over = (column + row) % 2 == 0
    warp, weft = _thread(u, v, column, thickness[0]), _thread(v, u, row, thickness[1])
    if flaw and flaw.kind == "broken_thread":
        gone = _missing(u, v, column, row, flaw.rng)
        warp, weft, over = np.where(gone, 0, warp), weft * np.where(gone, 0.8, 1), over & ~gone
    if flaw and flaw.kind == "knot":
        x, y = place(np.ones((size, size), dtype=np.float32), flaw.rng)
        bulge = np.clip(blob(size, (x, y), flaw.rng.uniform(0.028, 0.042), flaw.rng) * size / 5, 0, 1)
        weft, over = np.maximum(weft, bulge * 1.25), over & (bulge < 0.3)

    index = [(thread.astype(np.intp)) & 255 for thread in (column, row)]
    light = [warp * shade[0][index[0]], weft * shade[1][index[1]]]
    stripe = (column % (2 * _STRIPE) < 2)[:, :, None]
    colour = [np.where(stripe, _COLOURED, _GROUND), _GROUND]
    top = np.where(over[:, :, None], light[0][:, :, None] * colour[0], light[1][:, :, None] * colour[1])
    below = 0.55 * np.where(over[:, :, None], light[1][:, :, None] * colour[1], light[0][:, :, None] * colour[0])
    picture = np.maximum(np.maximum(top, below), _GAP) * (1 + fibre)[:, :, None]
    whole = np.ones((size, size), dtype=np.float32)
    if flaw and flaw.kind == "hole":
        return _torn(picture, whole, flaw.rng)
    if flaw and flaw.kind == "oil":
        return stain(picture, whole, flaw.rng, _OIL)
    return np.asarray(picture, dtype=np.float32)


def _thread(across: Field, along: Field, number: Field, thickness: Field) -> Field:
    """Brightness of a round thread that dips where it passes below the others; 0 between threads."""
    position = (across - number - 0.5) / (0.5 * thickness[number.astype(np.intp) & 255])
    bend = 0.85 + 0.15 * np.cos((along + number) * np.pi) ** 2
    return np.asarray(np.sqrt(np.maximum(1 - position**2, 0)) * bend, dtype=np.float32)


def _missing(u: Field, v: Field, column: Field, row: Field, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where one warp thread is gone, over six to ten wefts."""
    size = u.shape[0]
    x, y = place(np.ones((size, size), dtype=np.float32), rng, 0.1)
    at = int(y * size), int(x * size)
    reach = rng.uniform(3, 5)
    return np.asarray((column == column[at]) & (np.abs(v - v[at]) < reach))


def _torn(picture: Colours, whole: Field, rng: np.random.Generator) -> Colours:
    """A hole with frayed edges."""
    size = whole.shape[0]
    fray = 0.02 * (value_noise(size, (size // 5, size // 5), rng) - 0.5)
    depth = blob(size, place(whole, rng), rng.uniform(0.025, 0.05), rng) + fray
    open_ = np.clip(depth * size / 1.5, 0, 1)[:, :, None]
    return np.asarray(picture + (_GAP * 0.8 - picture) * open_, dtype=np.float32)


FABRIC = Product("fabric", ("broken_thread", "hole", "knot", "oil"), draw)
