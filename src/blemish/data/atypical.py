"""Training images unlike all others of their product: candidates for defects filed under normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.data.decode import square

NEIGHBOURS = 5
# Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993): modified z-scores above 3.5 are outliers
THRESHOLD = 3.5
AT_MOST = 5
_FEWEST = 8  # below, a median absolute deviation says nothing
_SIDE, _CELLS = 64, 8
_GREY_LEVEL = 1 / 255
_QUANTILES = (0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1)
# views of an image, and the lengths of the blocks that each has in a descriptor
_VIEWS = {
    "layout": (_CELLS * _CELLS * 3,),
    "edges": (_CELLS * _CELLS,),
    "brightness and contrast": (3 * len(_QUANTILES), len(_QUANTILES), 3 * len(_QUANTILES)),
}
# of log distances, lest a product whose images are all alike has every speck of dust reported
_LEAST_SPREAD = 0.15


@dataclass(frozen=True)
class Atypical:
    """A training image far from its product's others.

    Attributes:
        path: the image.
        z: robust z-score of the logarithm of its mean distance to its nearest neighbours; above `THRESHOLD`.
        view: in what it differs most: its layout, its edges, or its brightness and contrast.
    """

    path: Path
    z: float
    view: str

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path.as_posix(), "z": round(self.z, 2), "view": self.view}


def describe(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What an image looks like from afar, at 64×64 in 8×8 cells.

    The cells' colours; the cells' mean gradients; and what does not depend on where things are: quantiles of each
    colour, of the gradient, and of the cells' brightness, mean gradient and highest gradient.

    Args:
        pixels: uint8, H×W×3.

    Returns:
        float32, 319 values.
    """
    small = square(pixels, _SIDE).astype(np.float32) / 255
    grey = small.mean(axis=2)
    gradient = np.abs(np.diff(grey, axis=0, append=grey[-1:])) + np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    colours, gradients = _cells(small), _cells(gradient)
    cells = np.dstack([colours.mean(axis=(1, 3, 4)), gradients.mean(axis=(1, 3)), gradients.max(axis=(1, 3))])
    parts = [
        colours.mean(axis=(1, 3)),
        gradients.mean(axis=(1, 3)),
        *(
            np.quantile(values.reshape(-1, values.shape[2]), _QUANTILES, axis=0)
            for values in (small, gradient[:, :, None], cells)
        ),
    ]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def _cells(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """64×64×C as 8 cells × 8 rows × 8 cells × 8 columns × C."""
    step = _SIDE // _CELLS
    return values.reshape(_CELLS, step, _CELLS, step, -1)


def find_atypical(
    paths: Sequence[Path], descriptors: NDArray[np.float32], groups: Sequence[str | None]
) -> tuple[Atypical, ...]:
    """The most atypical of one product's normal training images, at most five, most atypical first.

    In each view, an image is as atypical as its nearest neighbours are far; the view with the highest score counts.
    Images of one group are near-duplicates and do not count as each other's neighbours.

    Args:
        paths: of the n images.
        descriptors: float32, n×319, from `describe`.
        groups: group of each image or None.
    """
    if len(paths) < _FEWEST:
        return ()
    ids = np.unique([group or f"\0{index}" for index, group in enumerate(groups)], return_inverse=True)[1]
    ends = np.cumsum([length for lengths in _VIEWS.values() for length in lengths])
    blocks = iter(np.split(descriptors.astype(np.float64), ends[:-1], axis=1))
    views = [[next(blocks) for _ in lengths] for lengths in _VIEWS.values()]
    scores = np.stack([robust_z(_isolation(view, ids[:, None] == ids)) for view in views])
    highest, names = scores.max(axis=0), [list(_VIEWS)[index] for index in scores.argmax(axis=0)]
    order = np.argsort(-highest, kind="stable")[:AT_MOST]
    return tuple(Atypical(paths[i], float(highest[i]), names[i]) for i in order if highest[i] > THRESHOLD)


def _isolation(view: Sequence[NDArray[np.float64]], related: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean distance of each image to its nearest neighbours in one view.

    Every block counts alike: it is scaled so that a usual image deviates by 1. Grey levels are uncertain by 1, so
    that differences nobody could see do not make an image atypical.

    Args:
        view: blocks of the descriptors, each n×d.
        related: n×n, pairs that are no neighbours; at least the diagonal.
    """
    squares = np.zeros(related.shape)
    for block in view:
        centred = block - np.median(block, axis=0)
        norms = (centred**2).sum(axis=1)
        uncertain = block.shape[1] * _GREY_LEVEL**2
        apart = np.maximum(norms[:, None] + norms - 2 * centred @ centred.T, 0) + uncertain
        squares += apart / (np.median(norms) + uncertain)
    distances = np.sqrt(squares)
    distances[related] = np.inf
    nearest = np.sort(distances, axis=1)[:, :NEIGHBOURS]
    found = np.isfinite(nearest)
    return np.asarray(np.where(found, nearest, 0).sum(axis=1) / np.maximum(found.sum(axis=1), 1))


def robust_z(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Robust z-scores of log distances: distances are skewed to the right, their logarithms hardly.

    All zero when at least half of the distances are: then nothing says what is usual.
    """
    usual = float(np.median(distances))
    if usual == 0:
        return np.zeros_like(distances)
    deviations = np.log(np.maximum(distances / usual, 1e-6))
    return np.asarray(deviations / max(1.4826 * float(np.median(np.abs(deviations))), _LEAST_SPREAD))
