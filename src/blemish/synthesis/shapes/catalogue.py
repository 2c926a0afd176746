"""All shapes of the library with their constants (UniADC's GAP-Lib, areas in per cent of the image)."""

from __future__ import annotations

from collections.abc import Iterable

from blemish.data.priors.names import FAMILIES, SHAPE_NAMES, resolve_shapes
from blemish.synthesis.shapes import drawings
from blemish.synthesis.shapes.drawings import Range
from blemish.synthesis.shapes.shape import Drawing, Shape

_BOX, _ROUND, _FLAT = (0.3, 1.0), (0.5, 1.0), (0.1, 0.25)
_KERNELS, _LINE_KERNELS = (21, 15, 7), (7, 5, 3)


def _percent(low: float, high: float) -> Range:
    return low / 100, high / 100


# Large, medium, small; the number at the end is the least share of the foreground, in per cent.
_RECTANGLES = ((_percent(5, 10), 3.0), (_percent(1, 4), 0.5), (_percent(0.5, 1), 0.2))
_LINES = (
    (_percent(1, 2), (0.05, 0.1), 0.5),
    (_percent(0.5, 1), (0.02, 0.05), 0.2),
    (_percent(0.2, 0.5), (0.01, 0.02), 0.1),
)
_POLYGONS = ((_percent(1, 3), 0.3), (_percent(0.5, 1), 0.15), (_percent(0.2, 0.5), 0.05))
_CIRCULAR = ((_percent(1.5, 3), 1.5), (_percent(0.5, 1.5), 0.5), (_percent(0.02, 0.1), 0.02))
_ECCENTRIC = ((_percent(1, 2), 1.0), (_percent(0.5, 0.8), 0.5), (_percent(0.2, 0.5), 0.2))
_HOLLOW_CIRCULAR = (
    (_percent(1.5, 3), (12, 24), 1.0),
    (_percent(0.5, 1.5), (8, 16), 0.4),
    (_percent(0.1, 0.5), (4, 10), 0.1),
)
_HOLLOW_ECCENTRIC = (
    (_percent(1, 2), (12, 20), 1.0),
    (_percent(0.5, 0.8), (8, 12), 0.4),
    (_percent(0.2, 0.5), (4, 8), 0.15),
)
_PERLINS = (((0, 1), 1.0), ((2, 3), 0.5), ((4, 5), 0.2))
_BRUSHES = (((18, 24), 21, 0.2), ((12, 18), 15, 0.1), ((6, 12), 7, 0.03), ((4, 8), 7, 0.01))

_DRAWN: dict[str, list[tuple[Drawing, float]]] = {
    "rectangle": [
        (drawings.rectangle(area, _BOX, kernel), cover)
        for (area, cover), kernel in zip(_RECTANGLES, _KERNELS, strict=True)
    ],
    "line": [
        (drawings.rectangle(area, aspect, kernel), cover)
        for (area, aspect, cover), kernel in zip(_LINES, _LINE_KERNELS, strict=True)
    ],
    "long-line": [(drawings.rectangle(_percent(8, 15), (0.0005, 0.002), 3), 0.2)],
    "polygon": [
        (drawings.polygon(area, _BOX, kernel), cover) for (area, cover), kernel in zip(_POLYGONS, _KERNELS, strict=True)
    ],
    "perlin": [
        (drawings.perlin(octaves, kernel), cover) for (octaves, cover), kernel in zip(_PERLINS, _KERNELS, strict=True)
    ],
    "brush": [(drawings.brush(width, kernel), cover) for width, kernel, cover in _BRUSHES],
    "ellipse-circular": [
        (drawings.ellipse(area, _ROUND, kernel), cover)
        for (area, cover), kernel in zip(_CIRCULAR, _KERNELS, strict=True)
    ],
    "ellipse-eccentric": [
        (drawings.ellipse(area, _FLAT, kernel), cover)
        for (area, cover), kernel in zip(_ECCENTRIC, _KERNELS, strict=True)
    ],
    "hollow-circular": [
        (drawings.hollow(area, _ROUND, stroke, kernel), cover)
        for (area, stroke, cover), kernel in zip(_HOLLOW_CIRCULAR, _LINE_KERNELS, strict=True)
    ],
    "hollow-eccentric": [
        (drawings.hollow(area, _FLAT, stroke, kernel), cover)
        for (area, stroke, cover), kernel in zip(_HOLLOW_ECCENTRIC, _LINE_KERNELS, strict=True)
    ],
    "whole": [(drawings.whole, 100.0)],
}


def _shapes() -> dict[str, Shape]:
    made = {}
    for family, drawn in _DRAWN.items():
        names = [f"{family}-{size}" for size in FAMILIES[family]] or [family]
        for name, (drawing, cover) in zip(names, drawn, strict=True):
            small = name == "long-line" or (name.endswith(("-small", "-tiny")) and family != "perlin")
            made[name] = Shape(name, drawing, cover / 100, in_twos=small)
    return {name: made[name] for name in SHAPE_NAMES}


SHAPES: dict[str, Shape] = _shapes()
"""Every shape by its name, such as `rectangle-large`, `brush-tiny` or `whole`."""


def shapes_of(names: Iterable[str], sizes: Iterable[str] = ()) -> tuple[Shape, ...]:
    """The shapes that names of shapes, families or groups mean, see `resolve_shapes`."""
    return tuple(SHAPES[name] for name in resolve_shapes(names, sizes))
