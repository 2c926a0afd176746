"""Choosing among candidates: what every selector sees and gives, and the one for pasted defects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Scores = NDArray[np.float64]
Box = tuple[int, int, int, int]

# The usual constants of SSIM: a window of 7 pixels, (0.01 · 255)² and (0.03 · 255)².
_WINDOW, _C1, _C2 = 7, 6.5025, 58.5225


@dataclass(frozen=True)
class Candidates:
    """Images among which one is chosen, all of one category.

    Attributes:
        images: N×S×S×3.
        masks: N×S×S, where each is defective.
        references: N×S×S×3: what was repainted, a normal image or one with a pasted defect.
        boxes: left, top, right, bottom of the place that counts, with its context; right and bottom are exclusive.
        prompt: description of the category.
        others: descriptions of all other categories of the product.
    """

    images: Pixels
    masks: Mask
    references: Pixels
    boxes: tuple[Box, ...]
    prompt: str
    others: tuple[str, ...] = ()


class Selector(Protocol):
    """Says how good candidates are."""

    def scores(self, candidates: Candidates) -> Scores:
        """N scores; the highest is chosen."""
        ...


class MeanSSIM:
    """How well a repainted paste keeps the paste: mean SSIM inside its box, averaged over channels (UniADC §3.2)."""

    def scores(self, candidates: Candidates) -> Scores:
        """N values in [−1, 1]."""
        triples = zip(candidates.images, candidates.references, candidates.boxes, strict=True)
        return np.array([mean_ssim(image, reference, box) for image, reference, box in triples])


def mean_ssim(image: Pixels, reference: Pixels, box: Box) -> float:
    """Structural similarity inside a box, averaged over pixels and channels: 1 for equal images.

    Args:
        image, reference: S×S×3.
        box: left, top, right, bottom; right and bottom are exclusive. A side below the window of 7 pixels narrows the
            window.
    """
    from scipy.ndimage import uniform_filter

    left, top, right, bottom = box
    one, two = (pixels[top:bottom, left:right].astype(np.float64) for pixels in (image, reference))
    window = min(_WINDOW, *one.shape[:2])
    window -= 1 - window % 2
    inner = tuple(slice(window // 2, side - window // 2) for side in one.shape[:2])
    count = window**2
    unbiased = count / max(count - 1, 1)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Over the windows that lie wholly inside the box."""
        return np.asarray(uniform_filter(values, (window, window, 1))[inner])

    mean_one, mean_two = mean(one), mean(two)
    variance_one = unbiased * (mean(one * one) - mean_one**2)
    variance_two = unbiased * (mean(two * two) - mean_two**2)
    covariance = unbiased * (mean(one * two) - mean_one * mean_two)
    similarity = (2 * mean_one * mean_two + _C1) * (2 * covariance + _C2)
    similarity /= (mean_one**2 + mean_two**2 + _C1) * (variance_one + variance_two + _C2)
    return float(similarity.mean())


def box_around(mask: Mask) -> Box:
    """The smallest box around the true pixels of a mask S×S that is not empty."""
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
