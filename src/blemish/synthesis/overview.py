"""A picture of what was made: some synthetic defects of every product and category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.decode import load_square
from blemish.data.masks import read_mask, resize_mask
from blemish.data.sample import Sample
from blemish.errors import ImageError
from blemish.synthesis.sheet import Row, sheet

_SHOWN, _CELL, _LOOKED_AT = 8, 168, 336
_OUTLINE = (255, 64, 40)


def overview(
    samples: Iterable[Sample], *, title: str, note: str = "", how: Mapping[tuple[str, str], str] | None = None
) -> Image.Image:
    """One row per product and category: up to eight images, below each the same with its mask outlined.

    Args:
        samples: defective images with masks; those that cannot be read are left out.
        title: stands above.
        note: a smaller line below it.
        how: (product, category) → a word that stands beside their row.
    """
    kinds: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        kinds.setdefault((sample.product, sample.defect or ""), []).append(sample)
    rows: list[Row] = []
    for (product, defect), found in sorted(kinds.items()):
        pictures = [picture for sample in found[:_SHOWN] if (picture := _picture(sample)) is not None]
        word = (how or {}).get((product, defect))
        rows.append((f"{defect}\n{product}{f', {word}' if word else ''}", pictures))
    return sheet(rows, title=title, note=note, cell=_CELL)


def _picture(sample: Sample) -> NDArray[np.uint8] | None:
    try:
        image = load_square(sample.path, _LOOKED_AT)
        if sample.mask is None:
            return image
        mask = resize_mask(read_mask(sample.mask), _LOOKED_AT)
    except ImageError:
        return None
    outlined = image.copy()
    outlined[_ring(mask)] = _OUTLINE
    return np.concatenate([image, outlined])


def _ring(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels one to three beyond the mask, so that the outline hides nothing of the defect."""
    inner = _grown(mask)
    return _grown(_grown(inner)) & ~inner


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = np.pad(mask, 1)
    return np.asarray(wide[1:-1, 1:-1] | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:])
