"""A picture of the whole shape library."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.procedural.seeding import generator
from blemish.synthesis.shapes.catalogue import SHAPES
from blemish.synthesis.shapes.raster import Mask
from blemish.synthesis.sheet import sheet

_DRAWS, _CELL = 6, 96
_GROUND, _SHAPE, _OUTSIDE = (222, 226, 230), (196, 64, 48), (243, 242, 238)


def contact_sheet(size: int, seed: int) -> Image.Image:
    """Every shape by its name, six draws each: on the whole image, and the last two on a round foreground.

    Args:
        size: side in pixels at which the shapes are drawn; the sheet shows them smaller.
        seed: of all draws.
    """
    everywhere = np.ones((size, size), dtype=np.bool_)
    axis = (np.arange(size) + 0.5) / size - 0.5
    disc = np.hypot(axis[:, None], axis[None, :]) < 0.36
    rows = []
    for name, shape in SHAPES.items():
        pictures = []
        for number in range(_DRAWS):
            foreground = disc if number >= _DRAWS - 2 else everywhere
            pictures.append(_picture(shape(size, foreground, generator(seed, f"sheet {name}", number)), foreground))
        rows.append((name, pictures))
    note = f"Masks at {size} px, seed {seed}; the two on the right keep to a round foreground."
    return sheet(rows, title="Shape library", note=note, cell=_CELL, columns=2)


def _picture(mask: Mask, foreground: Mask) -> NDArray[np.uint8]:
    picture = np.empty((*mask.shape, 3), dtype=np.uint8)
    picture[:] = _OUTSIDE
    picture[foreground] = _GROUND
    picture[mask] = _SHAPE
    return picture
