"""Connected defect regions: labelling, outlines, boxes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blemish.inspection import Region

# The outline runs through the middles of pixel sides, at least √2/4 ≈ 0.354 from any pixel centre. Simplifying
# by less than that moves no pixel centre across the outline.
OUTLINE_TOLERANCE = 1 / 3

Point = tuple[float, float]

# Directions of a walk along pixel sides, clockwise as seen in the image: right, down, left, up.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
# _TURN[arriving direction][set of leaving directions as bits] → leaving direction. Where two leave (pixels that
# meet at a corner only) the left turn crosses to the other pixel, which is what 8-connected means.
_TURN = [
    [next((d % 4 for d in (arriving - 1, arriving, arriving + 1) if leaving >> d % 4 & 1), 0) for leaving in range(16)]
    for arriving in range(4)
]


def label(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the 8-connected parts of a mask.

    Works on horizontal runs of true pixels, so that its cost follows the number of runs and not of pixels.

    Args:
        mask: bool, H×W.

    Returns:
        labels: int32, H×W; 0 is background, parts are numbered from 1 in raster order of their first pixel.
        count: the number of parts.
    """
    height, width = mask.shape
    # One false pixel after every row: a run then never crosses a row's end, and neighbours in the row
    # above are found by subtracting `stride` without wrapping round.
    stride = width + 1
    padded = np.zeros((height, stride), dtype=np.int8)
    padded[:, :width] = mask
    edges = np.diff(padded.ravel(), prepend=np.int8(0))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)

    first = np.searchsorted(ends, starts - stride, side="left")
    last = np.searchsorted(starts, ends - stride, side="right")
    touching = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(starts)), touching)
    above = np.arange(len(below)) + np.repeat(first - (np.cumsum(touching) - touching), touching)

    root = _join(len(starts), above, below)
    is_root = root == np.arange(len(root))
    numbers = np.cumsum(is_root)[root]
    labels = np.zeros((height, width), dtype=np.int32)
    labels[padded[:, :width] != 0] = np.repeat(numbers, ends - starts)
    return labels, int(is_root.sum())


def connected(mask: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The 8-connected parts of a mask that hold a seed; both bool, H×W."""
    labels, count = label(mask)
    kept = np.zeros(count + 1, dtype=np.bool_)
    kept[labels[seeds]] = True
    kept[0] = False
    return np.asarray(kept[labels])


def find_regions(
    anomaly_map: NDArray[np.float32],
    mask: NDArray[np.bool_],
    original_size: tuple[int, int],
    min_area: int = 1,
) -> tuple[Region, ...]:
    """The regions of `find_parts` alone."""
    return tuple(region for region, _ in find_parts(anomaly_map, mask, original_size, min_area))


def find_parts(
    anomaly_map: NDArray[np.float32],
    mask: NDArray[np.bool_],
    original_size: tuple[int, int],
    min_area: int = 1,
) -> tuple[tuple[Region, NDArray[np.bool_]], ...]:
    """Describe the 8-connected parts of a mask in pixels of the original image.

    Outlines are outer boundaries (holes are filled). Rasterised at model resolution, an outline contains the centre
    of every pixel of its part.

    Args:
        anomaly_map: float32, h×w at model resolution.
        mask: bool, h×w.
        original_size: width, height of the original image after EXIF rotation.
        min_area: in pixels of the map; smaller parts are left out, but the highest-scoring part never is.

    Returns:
        The regions with their pixels, bool h×w, highest score first (ties: the larger one, then raster order).
    """
    labels, count = label(mask)
    if not count:
        return ()
    height, width = mask.shape
    scale_x, scale_y = original_size[0] / width, original_size[1] / height
    # Pixels part by part, each part in raster order: its first pixel is in its top row, its last in its bottom row.
    ys, xs = np.nonzero(mask)
    parts = np.argsort(labels[ys, xs], kind="stable")
    ys, xs = ys[parts], xs[parts]
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    ends = np.cumsum(areas)
    starts = ends - areas
    scores = np.maximum.reduceat(anomaly_map[ys, xs], starts)
    lefts, rights = np.minimum.reduceat(xs, starts), np.maximum.reduceat(xs, starts) + 1

    leaving = _leaving_directions(mask)
    found: list[tuple[Region, NDArray[np.bool_]]] = []
    for i in np.lexsort((-areas, -scores)):
        if found and areas[i] < min_area:
            continue
        top, bottom = int(ys[starts[i]]), int(ys[ends[i] - 1]) + 1
        outline = _trace(leaving, width + 1, top * (width + 1) + int(xs[starts[i]]))
        x0, x1 = _span(int(lefts[i]), int(rights[i]), scale_x, original_size[0])
        y0, y1 = _span(top, bottom, scale_y, original_size[1])
        region = Region(
            box=(x0, y0, x1, y1),
            polygon=tuple(
                (round(x * scale_x, 2), round(y * scale_y, 2)) for x, y in _simplify(outline, OUTLINE_TOLERANCE)
            ),
            area=float(areas[i] * scale_x * scale_y),
            score=float(scores[i]),
        )
        found.append((region, np.asarray(labels == i + 1)))
    return tuple(found)


def _span(low: int, high: int, scale: float, size: int) -> tuple[int, int]:
    """Pixels [low, high) of the map as the smallest span of whole original pixels that covers them."""
    start = math.floor(low * scale)
    return start, max(min(math.ceil(high * scale), size), start + 1)


def _join(count: int, a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.intp]:
    """Union-find over `count` nodes and edges (a[i], b[i]): the smallest node of each node's component."""
    parent = np.arange(count)
    while True:
        pa, pb = parent[a], parent[b]
        apart = pa != pb
        if not apart.any():
            return parent
        a, b, pa, pb = a[apart], b[apart], pa[apart], pb[apart]
        np.minimum.at(parent, np.maximum(pa, pb), np.minimum(pa, pb))
        while not np.array_equal(shorter := parent[parent], parent):
            parent = shorter


def _leaving_directions(mask: NDArray[np.bool_]) -> bytes:
    """For each corner of the pixel grid, (H+1)·(W+1) in raster order: the directions in which a side with the
    region on its right leaves it, as bits."""
    padded = np.pad(mask, 1).astype(np.uint8)
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    right, down, left, up = se & ~ne, sw & ~se, nw & ~sw, ne & ~nw
    return (right | down << 1 | left << 2 | up << 3).astype(np.uint8).tobytes()


def _trace(leaving: bytes, stride: int, start: int) -> list[Point]:
    """The outer boundary through the middles of pixel sides, clockwise.

    `start` is the upper left corner of the part's first pixel in raster order; no other pixel of it lies left of
    or above that corner, so the walk passes it once.
    """
    moves = [dx + dy * stride for dx, dy in _STEPS]
    corners, turns = [start], [0]
    direction, corner = 0, start + moves[0]
    while corner != start:
        turn = _TURN[direction][leaving[corner]]
        if turn != direction:
            corners.append(corner)
            turns.append(turn)
            direction = turn
        corner += moves[direction]
    middles: list[Point] = []
    for corner, following, turn in zip(corners, [*corners[1:], start], turns, strict=True):
        dx, dy = _STEPS[turn]
        (y, x), (end_y, end_x) = divmod(corner, stride), divmod(following, stride)
        middles.append((x + dx / 2, y + dy / 2))
        if following != corner + moves[turn]:
            middles.append((end_x - dx / 2, end_y - dy / 2))
    return middles


def _simplify(points: list[Point], tolerance: float) -> list[Point]:
    """Douglas and Peucker's simplification of a closed outline: no dropped point lies further than `tolerance` from
    the outline that remains."""
    # Plain floats: outlines have tens of points, for which a NumPy call costs more than the arithmetic.
    closed = [*points, points[0]]
    x0, y0 = points[0]
    far = max(range(len(points)), key=lambda i: (points[i][0] - x0) ** 2 + (points[i][1] - y0) ** 2)
    kept = {0, far}
    stack = [(0, far), (far, len(points))]
    while stack:
        first, last = stack.pop()
        (ax, ay), (bx, by) = closed[first], closed[last]
        chord_x, chord_y = bx - ax, by - ay
        length = chord_x * chord_x + chord_y * chord_y
        worst, split = tolerance * tolerance, 0
        for i in range(first + 1, last):
            x, y = closed[i]
            x, y = x - ax, y - ay
            along = x * chord_x + y * chord_y
            if along <= 0:
                distance = x * x + y * y
            elif along >= length:
                distance = (x - chord_x) ** 2 + (y - chord_y) ** 2
            else:
                distance = (x * chord_y - y * chord_x) ** 2 / length
            if distance > worst:
                worst, split = distance, i
        if split:
            kept.add(split)
            stack += [(first, split), (split, last)]
    return [points[i] for i in sorted(kept)]
