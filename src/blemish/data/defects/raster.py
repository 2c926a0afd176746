"""Markings to pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from blemish.data.defects.example import Marking, Point
from blemish.data.masks import read_mask, resize_mask
from blemish.data.sample import Box

_FAR = 1e7  # beyond any image; keeps the arithmetic finite


def rasterise(marking: Marking, image_size: tuple[int, int], size: int) -> NDArray[np.bool_] | None:
    """The pixels of a marking in the squashed image: bool, size×size.

    The shape is drawn at the size of the image and then squashed by the area rule of `masks.resize_mask`, which keeps
    the smallest defect. A mask of another size than the image is laid over the whole image.

    Args:
        marking: what is labelled.
        image_size: width and height of the image, after EXIF rotation.
        size: of the squashed image, a side.

    Returns:
        The mask, with at least one pixel; None where the place is not known: a marking with a category alone, an empty
        mask, a shape outside the image.

    Raises:
        ImageError: the mask file cannot be read.
    """
    if marking.mask is not None:
        mask = read_mask(marking.mask)
    elif marking.runs is not None:
        mask = marking.runs.mask()
    elif marking.polygon is not None:
        mask = fill_polygon(marking.polygon, image_size)
    elif marking.box is not None:
        mask = fill_box(marking.box, image_size)
    else:
        return None
    return resize_mask(mask, size) if mask.any() else None


def fill_box(box: Box, image_size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres lie in a box, bool H×W; of a box between centres, the one that holds its middle."""
    width, height = image_size
    mask = np.zeros((height, width), dtype=np.bool_)
    left, top, right, bottom = np.clip(np.asarray(box, dtype=np.float64), -_FAR, _FAR)
    columns, rows = _between(left, right, width), _between(top, bottom, height)
    mask[rows, columns] = True
    return mask


def fill_polygon(points: Sequence[Point], image_size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres lie in a polygon, bool H×W; even-odd where it crosses itself.

    A polygon so thin or small that no centre lies in it becomes the pixels along its outline.
    """
    width, height = image_size
    corners = np.clip(np.asarray(points, dtype=np.float64), -_FAR, _FAR)
    row, x = _crossings(corners, height)
    # every crossing turns the rest of its row inside out
    flips = np.zeros((height, width + 1), dtype=np.bool_)
    np.logical_xor.at(flips, (row, np.ceil(x - 0.5).clip(0, width).astype(np.int64)), True)
    mask = np.ascontiguousarray(np.logical_xor.accumulate(flips, axis=1)[:, :width])
    if not mask.any():
        column, y = _crossings(corners[:, ::-1], width)
        columns = np.floor(np.concatenate([corners[:, 0], x, column])).astype(np.int64)
        rows = np.floor(np.concatenate([corners[:, 1], row, y])).astype(np.int64)
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        mask[rows[inside], columns[inside]] = True
    return mask


def _crossings(corners: NDArray[np.float64], length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where the outline crosses the middles of the rows 0 … length − 1: the row and the x of every crossing."""
    x, y = corners.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    # an edge crosses the middles of rows first … last − 1
    first = np.ceil(np.minimum(y, next_y) - 0.5).clip(0, length).astype(np.int64)
    last = np.ceil(np.maximum(y, next_y) - 0.5).clip(0, length).astype(np.int64)
    crossed = last - first
    edge = np.repeat(np.arange(len(x)), crossed)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(crossed) - crossed), crossed)
    slope = (next_x - x)[edge] / (next_y - y)[edge]
    return row, x[edge] + (row + 0.5 - y[edge]) * slope


def fill_parts(parts: Iterable[Sequence[Point]], image_size: tuple[int, int]) -> NDArray[np.bool_]:
    """One shape of several outlines, bool H×W.

    An outline that lies within the larger ones is a hole, one within a hole an island; outlines that overlap or lie
    apart add up. Where none cut each other this is the even-odd rule.
    """
    width, height = image_size
    shape = np.zeros((height, width), dtype=np.bool_)
    for part in sorted(dict.fromkeys(map(tuple, parts)), key=_area, reverse=True):
        mask = fill_polygon(part, image_size)
        inside = bool(shape[mask].all()) and mask.any() and mask.sum() < shape.sum()
        shape = shape & ~mask if inside else shape | mask
    return shape


def _area(points: Sequence[Point]) -> float:
    """The area of a polygon, by the shoelace formula."""
    x, y = np.asarray(points, dtype=np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _between(low: float, high: float, length: int) -> slice:
    """The pixels of a row whose centres lie in [low, high), at least one where the range reaches into the image."""
    first, last = int(np.ceil(low - 0.5)), int(np.ceil(high - 0.5))
    if first >= last and low < length and high > 0:
        first = int(np.floor((low + high) / 2))
        last = first + 1
    if low < length and high > 0:  # the part inside may be thinner than a pixel
        first, last = min(first, length - 1), max(last, 1)
    return slice(max(first, 0), max(last, 0))
