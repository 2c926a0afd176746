"""Ground-truth masks: reading them, and an area rule for resizing that cannot erase a small defect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.data.decode import opened, orientation, upright
from blemish.regions import label


def read_mask(path: str | Path) -> NDArray[np.bool_]:
    """Read a mask, bool, H×W: every pixel that is not zero is defective.

    Colour counts when any channel does; palette images count by index; transparent pixels are normal. In a JPEG, where
    compression smears edges, defective starts at half intensity. The mask is turned only by an EXIF orientation of its
    own, not by its image's: masks are drawn on what one sees.

    Raises:
        ImageError: as `decode.read_image`.
    """
    with opened(path) as image:
        image.load()
        lossy = image.format == "JPEG"
        turn = orientation(image)
        if image.mode != "P" and image.has_transparency_data:
            image = image.convert("RGBA")
        values = np.asarray(upright(image, turn))
        if image.mode == "RGBA":
            return np.asarray(values[..., :3].any(axis=2) & (values[..., 3] > 0))
        if values.ndim == 3:
            values = values.max(axis=2)
        return np.asarray(values > 127 if lossy else values != 0)


def resize_mask(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Squash a mask to a square by area: bool, H×W to size×size, for any H and W.

    A pixel of the result is defective when at least half of the area that it covers is, computed exactly. An
    8-connected region none of whose pixels comes out defective keeps the one that it covers best (the first in raster
    order among equals), so that no defect vanishes.
    """
    if mask.shape == (size, size):
        return mask.copy()
    height, width = mask.shape
    covered = _cell_sums(_cell_sums(mask, size).T, size).T
    resized = np.asarray(2 * covered >= height * width)
    if not covered.any():
        return resized
    labels, count = label(mask)
    rows, columns = np.nonzero(labels)
    numbers = labels[rows, columns]
    kept = np.zeros(count + 1, dtype=np.bool_)
    kept[numbers[_touches(resized, rows, columns, height, width)]] = True
    lost = ~kept[numbers]
    rows, columns, numbers = rows[lost], columns[lost], numbers[lost]
    order = np.argsort(numbers, kind="stable")
    _, starts = np.unique(numbers[order], return_index=True)
    for pixels in np.split(order, starts[1:]) if len(order) else ():
        resized[_best_cell(rows[pixels], columns[pixels], height, width, size)] = True
    return resized


def _cell_sums(values: NDArray[np.bool_ | np.int64], size: int) -> NDArray[np.int64]:
    """Sums over `size` equal cells along the first axis, in units of 1/size of a row: exact integers.

    Cell i reaches from row i·H/size to (i+1)·H/size. The running sum at such an edge is that of the whole rows above
    it plus the edge's share of the row that it cuts.
    """
    height = values.shape[0]
    running = np.zeros((height + 1, *values.shape[1:]), dtype=np.int32 if values.dtype == np.bool_ else np.int64)
    np.cumsum(values, axis=0, dtype=running.dtype, out=running[1:])
    whole, part = np.divmod(np.arange(size + 1, dtype=np.int64) * height, size)
    cut = np.minimum(whole, height - 1)
    edges = running[whole].astype(np.int64) * size + part[:, None] * values[cut]
    return np.asarray(np.diff(edges, axis=0))


def _touches(
    cells: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int
) -> NDArray[np.bool_]:
    """For each mask pixel, whether it overlaps a defective cell."""
    size = len(cells)
    count = np.zeros((size + 1, size + 1), dtype=np.int64)
    count[1:, 1:] = cells.cumsum(axis=0).cumsum(axis=1)
    top, bottom = rows * size // height, -(-(rows + 1) * size // height)
    left, right = columns * size // width, -(-(columns + 1) * size // width)
    inside = count[bottom, right] - count[top, right] - count[bottom, left] + count[top, left]
    return np.asarray(inside > 0)


def _best_cell(
    rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int, size: int
) -> tuple[int, int]:
    """The cell of which a region's pixels cover most."""
    top, down = _overlaps(rows, height, size)
    left, across = _overlaps(columns, width, size)
    region = np.zeros((down.shape[1], across.shape[1]), dtype=np.int64)
    region[rows - rows.min(), columns - columns.min()] = 1
    cover = down @ region @ across.T
    row, column = np.unravel_index(int(cover.argmax()), cover.shape)
    return top + int(row), left + int(column)


def _overlaps(pixels: NDArray[np.int64], length: int, size: int) -> tuple[int, NDArray[np.int64]]:
    """The first cell that the range of `pixels` reaches, and how far each cell overlaps each pixel, cells×pixels."""
    first, last = int(pixels.min()), int(pixels.max())
    cell = np.arange(first * size // length, -(-(last + 1) * size // length))[:, None]
    pixel = np.arange(first, last + 1)[None, :]
    overlap = np.minimum((cell + 1) * length, (pixel + 1) * size) - np.maximum(cell * length, pixel * size)
    return int(cell[0, 0]), overlap.clip(min=0)
