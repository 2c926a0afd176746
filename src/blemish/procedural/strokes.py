"""Drawings in one ink: lines of writing, circuits, scribbles and cracks, as coverage in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from blemish.procedural.noise import Field

_SCALE = 2
_GLYPHS = 24


def writing(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    """Lines of invented glyphs, each of two to five strokes on a 3×4 lattice."""
    glyphs = [rng.integers(0, (3, 4), size=(int(rng.integers(3, 7)), 2)) for _ in range(_GLYPHS)]
    height = side * rng.uniform(0.05, 0.22)
    width = height * rng.uniform(0.5, 0.8)
    pen = max(1, round(height * rng.uniform(0.06, 0.2)))
    y = side * rng.uniform(0, 0.1)
    while y < side:
        x, end = side * rng.uniform(0, 0.1), side * rng.uniform(0.5, 1)
        while x < end:
            if rng.random() < 0.85:
                glyph = glyphs[int(rng.integers(_GLYPHS))]
                points = glyph * (width * 0.35, height * 0.25) + (x, y)
                draw.line(points.ravel().tolist(), fill=255, width=pen, joint="curve")
            x += width
        y += height * rng.uniform(1.1, 1.8)


def circuit(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    """Traces with right and half-right angles, pads, vias and rectangular parts with pins."""
    pitch = side * rng.uniform(0.03, 0.1)
    pen = max(1, round(pitch * rng.uniform(0.15, 0.5)))
    steps = np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 1], [-1, 1], [1, -1], [-1, -1]])
    for _ in range(int(rng.integers(8, 30))):
        path = [rng.integers(0, round(side / pitch) + 1, size=2)]
        for _ in range(int(rng.integers(1, 6))):
            path.append(path[-1] + steps[int(rng.integers(8))] * int(rng.integers(1, 9)))
        points = np.array(path) * pitch
        draw.line(points.ravel().tolist(), fill=255, width=pen, joint="curve")
        for x, y in (points[0], points[-1]):
            _disc(draw, x, y, pen * 1.3)
            _disc(draw, x, y, pen * 0.6, fill=0)
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(0, side, size=2)
        width, height = rng.uniform(2, 7, size=2) * pitch
        draw.rectangle([x, y, x + width, y + height], fill=255, outline=0)
        for pin in np.arange(0.5, width / pitch) * pitch:
            draw.rectangle([x + pin, y - pitch * 0.6, x + pin + pen, y], fill=255)
            draw.rectangle([x + pin, y + height, x + pin + pen, y + height + pitch * 0.6], fill=255)


def scribble(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    """Smooth random curves: hairs, wires, threads."""
    turn = np.linspace(0, 1, 40)[:, None]
    for _ in range(int(rng.integers(2, 16))):
        wave = rng.normal(0, 1, size=(2, 4, 2)) / np.arange(1, 5)[None, :, None]
        phase = 2 * math.pi * turn * np.arange(1, 5) * rng.uniform(0.2, 1)
        curve = np.cos(phase) @ wave[0] + np.sin(phase) @ wave[1]
        points = curve * side * rng.uniform(0.1, 0.4) + rng.uniform(0, side, size=2)
        draw.line(
            points.ravel().tolist(), fill=255, width=max(1, round(side * rng.uniform(0.004, 0.04))), joint="curve"
        )


def cracks(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    """Jagged walks that branch."""
    starts = [(rng.uniform(0, side, size=2), rng.uniform(0, 2 * math.pi), 40) for _ in range(int(rng.integers(1, 4)))]
    while starts:
        start, heading, length = starts.pop()
        turns = heading + np.cumsum(rng.normal(0, 0.35, size=length))
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * side * 0.025
        points = np.concatenate([start[None], start + np.cumsum(steps, axis=0)])
        draw.line(points.ravel().tolist(), fill=255, width=max(1, round(side * 0.0003 * length)))
        if length > 10:
            for index in rng.integers(length, size=2):
                starts.append((points[index], turns[index] + rng.choice([-0.8, 0.8]), length // 2))


_DRAWINGS: tuple[Callable[[ImageDraw.ImageDraw, int, np.random.Generator], None], ...] = (
    writing,
    circuit,
    scribble,
    cracks,
)


def strokes(size: int, rng: np.random.Generator) -> Field:
    """A random drawing, antialiased and often turned: size×size coverage in [0, 1]."""
    side = size * _SCALE
    canvas = Image.new("L", (side, side))
    _DRAWINGS[int(rng.integers(len(_DRAWINGS)))](ImageDraw.Draw(canvas), side, rng)
    if rng.random() < 0.5:
        canvas = canvas.rotate(rng.choice([90.0, 180.0, rng.uniform(-20, 20), rng.uniform(0, 360)]))
    return np.asarray(np.asarray(canvas.reduce(_SCALE)) / 255, dtype=np.float32)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: int = 255) -> None:
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)
