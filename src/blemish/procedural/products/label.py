"""A printed label on a cardboard box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.procedural.defects import scratch, stain
from blemish.procedural.noise import Field, fractal_noise, value_noise
from blemish.procedural.palette import Colours
from blemish.procedural.products.product import Flaw, Product
from blemish.procedural.seeding import generator

_CARD = np.array([0.66, 0.52, 0.37], dtype=np.float32)
_PAPER = np.array([0.93, 0.93, 0.90], dtype=np.float32)
_INK = np.array([0.12, 0.13, 0.18], dtype=np.float32)
_RED = np.array([0.75, 0.15, 0.14], dtype=np.float32)
_COFFEE = (0.66, 0.5, 0.34)
_SIDE = 768


def draw(size: int, rng: np.random.Generator, flaw: Flaw | None) -> Colours:
    """Slightly turned and shifted, with uneven ink."""
    black, red, paper = (sheet.copy() for sheet in _design())
    if flaw and flaw.kind == "missing_print":
        _erase(black, red, flaw.rng)
    if flaw and flaw.kind == "smear":
        black = _smeared(black, flaw.rng)
    angle, shift = rng.normal(0, 1.6), rng.uniform(-0.025, 0.025, size=2)
    black, red, paper = _stuck((black, red, paper), size, angle, shift)
    fibre = fractal_noise(size, rng, cells=8, gain=0.8) - 0.5
    flutes = 0.03 * np.sin(np.arange(size) * (2 * math.pi * 24 / size) + rng.uniform(0, 6.3))
    card = _CARD * (1 + 0.16 * fibre + flutes.astype(np.float32))[:, :, None]
    density = rng.uniform(0.85, 0.97) - 0.12 * value_noise(size, (4, 4), rng)
    sheet = _PAPER * (1 + 0.03 * fibre)[:, :, None]
    sheet = sheet + (_INK - sheet) * (black * density)[:, :, None]
    sheet = sheet + (_RED - sheet) * (red * density)[:, :, None]
    picture = np.asarray(card + (sheet - card) * paper[:, :, None], dtype=np.float32)
    if flaw and flaw.kind == "scratch":
        return scratch(picture, paper, flaw.rng)
    if flaw and flaw.kind == "stain":
        return stain(picture, paper, flaw.rng, _COFFEE)
    return picture


@lru_cache(maxsize=1)
def _design() -> tuple[Field, ...]:
    """The label as every copy should be: coverage of black ink, red ink and paper at 768 px."""
    rng = generator(0, "label design")
    black, red, paper = (Image.new("L", (_SIDE, _SIDE)) for _ in range(3))
    ImageDraw.Draw(paper).rounded_rectangle([70, 110, 698, 658], radius=26, fill=255)
    draw_black, draw_red = ImageDraw.Draw(black), ImageDraw.Draw(red)
    draw_red.ellipse([110, 150, 250, 290], fill=255)
    draw_red.polygon([(180, 168), (232, 258), (128, 258)], fill=0)
    draw_red.rectangle([110, 600, 658, 618], fill=255)
    glyphs = [rng.integers(0, (3, 4), size=(5, 2)) for _ in range(16)]
    for top, height, count in ((158, 44, 9), (226, 26, 16), (268, 26, 14), (340, 26, 24), (382, 26, 20)):
        left = 290 if top < 300 else 112
        for place in range(count):
            glyph = glyphs[int(rng.integers(16))] * (height * 0.28, height * 0.32) + (left + place * height * 0.84, top)
            draw_black.line(glyph.ravel().tolist(), fill=255, width=max(4, height // 6), joint="curve")
    left = 120
    while left < 640:
        width = int(rng.integers(1, 4)) * 6
        draw_black.rectangle([left, 446, left + width, 570], fill=255)
        left += width + int(rng.integers(1, 4)) * 6
    return tuple(np.asarray(np.asarray(sheet) / 255, dtype=np.float32) for sheet in (black, red, paper))


def _erase(black: Field, red: Field, rng: np.random.Generator) -> None:
    """Leave ink out: a streak through the barcode, part of a line, or the logo's middle."""
    kind = int(rng.integers(3))
    if kind == 0:
        top = int(rng.integers(455, 530))
        black[top : top + int(rng.integers(18, 34)), 100:660] = 0
    elif kind == 1:
        left, row = int(rng.integers(110, 400)), int(rng.choice([335, 377]))
        black[row : row + 40, left : left + int(rng.integers(90, 200))] = 0
    else:
        left = int(rng.integers(110, 190))
        red[150:290, left : left + int(rng.integers(30, 60))] = 0


def _smeared(black: Field, rng: np.random.Generator) -> Field:
    """Wet ink dragged sideways within a rectangle."""
    top, left = int(rng.choice([150, 330, 450])), int(rng.integers(120, 420))
    rows, columns = slice(top, top + int(rng.integers(80, 120))), slice(left, left + int(rng.integers(120, 200)))
    dragged = black.copy()
    for step in range(1, 9):
        dragged = np.maximum(dragged, np.roll(black, 6 * step, axis=1) * (0.75 - 0.07 * step))
    black[rows, columns] = dragged[rows, columns]
    return black


def _stuck(sheets: Sequence[Field], size: int, angle: float, shift: NDArray[np.float64]) -> list[Field]:
    """Three sheets turned by `angle` degrees, shifted by shares of the side and reduced to size×size."""
    image = Image.fromarray((np.stack(sheets, axis=2) * 255).astype(np.uint8))
    # twice the size, then reduced: bilinear sampling alone would skip pixels of the design
    scale, half = _SIDE / (2 * size), _SIDE / 2
    cos, sin = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
    x, y = (size * (1 + 2 * share) for share in shift)
    inverse = (cos, sin, half - cos * x - sin * y, -sin, cos, half + sin * x - cos * y)
    image = image.transform((2 * size, 2 * size), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
    small = np.asarray(np.asarray(image.reduce(2)) / 255, dtype=np.float32)
    return [small[:, :, index] for index in range(3)]


LABEL = Product("label", ("missing_print", "scratch", "smear", "stain"), draw)
