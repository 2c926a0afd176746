"""How a cut-out defect joins the image that it is pasted into."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Blend = Callable[[Pixels, Pixels, Mask, Mask], Pixels]
"""(target, patch, mask, known): uint8 h×w×3 each, mask of the defect, and where the patch's own image has no other
defect → the target with the defect in it."""

_RING = 6  # pixels of surroundings that are brought to the same brightness
_OTHER_LIGHT = 48  # grey levels; a larger difference is another material, not other light
_EDGE = 1.5  # standard deviation of the soft edge, in pixels
_LARGEST = 60_000  # pixels of a mask up to which the Poisson equation is solved


def paste(target: Pixels, patch: Pixels, mask: Mask, known: Mask) -> Pixels:
    """The defect's pixels as they are (CutPasteByMask, UniADC §3.2)."""
    blended = target.copy()
    blended[mask] = patch[mask]
    return blended


def feather(target: Pixels, patch: Pixels, mask: Mask, known: Mask) -> Pixels:
    """The defect with a soft edge, brightened so that its surroundings would match those of its new place.

    Where they differ by more than other light explains, the defect keeps its shade.
    """
    ring = _ring(mask)
    own = ring & known
    offset = target[ring].mean(axis=0) - patch[own].mean(axis=0) if own.any() else np.zeros(3)
    if np.abs(offset).max() > _OTHER_LIGHT:
        offset = np.zeros(3)
    inside = mask.astype(np.float32)
    share = np.maximum(ndimage.gaussian_filter(inside, _EDGE), 0.8 * inside)[..., None]
    blended = target * (1 - share) + (patch + offset) * share
    return np.asarray(np.rint(blended.clip(0, 255)), dtype=np.uint8)


def poisson(target: Pixels, patch: Pixels, mask: Mask, known: Mask) -> Pixels:
    """The defect's gradients on the target's border (Pérez et al., SIGGRAPH 2003): no seam, but its own shade is lost.

    Masks beyond 60,000 pixels are feathered instead: solving for them takes seconds.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows) or len(rows) > _LARGEST:
        return feather(target, patch, mask, known)
    number = np.full((mask.shape[0] + 2, mask.shape[1] + 2), -1)
    number[rows + 1, columns + 1] = np.arange(len(rows))
    height, width = mask.shape
    source = np.pad(patch.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    border = np.pad(target.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    degree = np.zeros(len(rows))
    right = np.zeros((len(rows), 3))
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        r, c = rows + down, columns + across
        real = (r >= 0) & (r < height) & (c >= 0) & (c < width)
        degree += real
        gradient = source[rows + 1, columns + 1] - source[r + 1, c + 1]
        right += np.where(real[:, None], gradient, 0)
        other = number[r + 1, c + 1]
        outside = real & (other < 0)
        right += np.where(outside[:, None], border[r + 1, c + 1], 0)
        inner = np.flatnonzero(real & (other >= 0))
        entries.append((inner, other[inner]))
    if len(rows) == mask.size:  # no border that would say how bright it is
        return paste(target, patch, mask, known)
    i = np.concatenate([np.arange(len(rows)), *(first for first, _ in entries)])
    j = np.concatenate([np.arange(len(rows)), *(second for _, second in entries)])
    values = np.concatenate([degree, -np.ones(len(i) - len(rows))])
    matrix = sparse.csc_matrix((values, (i, j)), shape=(len(rows), len(rows)))
    blended = target.copy()
    blended[mask] = np.rint(spsolve(matrix, right).clip(0, 255)).astype(np.uint8)
    return blended


BLENDINGS: dict[str, Blend] = {"paste": paste, "feather": feather, "poisson": poisson}


def _ring(mask: Mask) -> Mask:
    ring = ndimage.binary_dilation(mask, iterations=_RING) & ~mask
    return ring if ring.any() else ~mask if not mask.all() else mask
