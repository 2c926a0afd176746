"""How rightly defects are named: confusion of images and of pixels, and how well unknown defects are noticed.

The classes of a product are the K categories that its model has learned and `NORMAL`, or background where pixels are
counted: K + 1 in all. Categories of the test set that the model has not learned count for no metric over these
classes; how often they are noticed as unknown is a metric of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.evaluation.metrics.image import auroc
from blemish.inspection import UNKNOWN_DEFECT

NORMAL = "normal"
"""The class of images that are not defective, and of background pixels; no category may be called so."""
COMBINED = "combined"
"""Name of a defect category, in any case, whose images show several kinds of defect at once."""

Pair = tuple[str, str]
"""True and predicted class."""


def true_class(defective: bool, defect: str | None) -> str | None:
    """`NORMAL`, or the category of the defect; None where that is not one kind: without a name, or `COMBINED`.

    Such images count for detection, not for the naming metrics.
    """
    if not defective:
        return NORMAL
    return None if defect is None or defect.casefold() in (COMBINED, NORMAL) else defect


@dataclass(frozen=True)
class Confusion:
    """How often each true class was called by each name.

    All metrics are over the K + 1 known classes and over images (or pixels) that truly are of one of them; None where
    there is none. A predicted name that is no known class, `UNKNOWN_DEFECT` above all, is an error of the true class
    and has no share of its own in the means.

    Attributes:
        rows: true classes: `NORMAL`, the learned categories, and, by name, those of the test set that are not learned.
        columns: predicted classes: `NORMAL`, the learned categories, `UNKNOWN_DEFECT`, and, by name, categories of
            another product that an image was taken for, where that happened.
        counts: one tuple for each row, one number for each column.
        learned: K, the number of learned categories.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    learned: int

    @classmethod
    def of(cls, pairs: Mapping[Pair, int], categories: Sequence[str]) -> Confusion:
        """Count pairs of true and predicted classes.

        Args:
            pairs: (true class, predicted class) → how often; see `NORMAL` and `UNKNOWN_DEFECT`.
            categories: names that the model has learned.

        Raises:
            ValueError: a category is named twice, or like one of the classes that are no category.
        """
        known = _known(categories)
        rows = (*known, *sorted({truth for truth, _ in pairs} - set(known)))
        named = (*known, UNKNOWN_DEFECT)
        columns = (*named, *sorted({prediction for _, prediction in pairs} - set(named)))
        counts = tuple(tuple(int(pairs.get((row, column), 0)) for column in columns) for row in rows)
        return cls(rows, columns, counts, len(categories))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Confusion:
        """The inverse of `dataclasses.asdict`, after JSON too."""
        return cls(tuple(data["rows"]), tuple(data["columns"]), tuple(map(tuple, data["counts"])), data["learned"])

    @property
    def matrix(self) -> NDArray[np.int64]:
        """The counts, rows × columns."""
        return np.array(self.counts, dtype=np.int64)

    @property
    def accuracy(self) -> float | None:
        """Share that is called by its true name."""
        right, truth, _ = self._sums()
        return float(right.sum() / truth.sum()) if truth.any() else None

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean over the classes that occur in the truth: the share of each that is called by its name."""
        right, truth, _ = self._sums()
        return _mean(right, truth)

    @property
    def macro_f1(self) -> float | None:
        """Mean F1 over the classes that occur in the truth or in the prediction; 0 for a class in only one of them."""
        right, truth, called = self._sums()
        return _mean(2 * right, truth + called)

    @property
    def mean_iou(self) -> float | None:
        """Mean intersection over union, over the classes that occur in the truth or in the prediction.

        A class that is predicted but absent from the truth counts with 0; one that is absent from both is left out.
        """
        right, truth, called = self._sums()
        return _mean(right, truth + called - right)

    def _sums(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Of each of the K + 1 known classes: how many were called rightly, how many there are, how many called so."""
        known = self.matrix[: self.learned + 1]
        square = known[:, : self.learned + 1]
        return np.diagonal(square), known.sum(axis=1), square.sum(axis=0)


def pixel_pairs(
    truth: ArrayLike | None,
    defect: str,
    mask: ArrayLike,
    category_map: ArrayLike | None,
    categories: Sequence[str],
    roi: ArrayLike | None = None,
) -> Counter[Pair]:
    """Count the pixels of one image by true and predicted class; sums over images pool them.

    Args:
        truth: bool, H×W, true on defective pixels; None for a normal image.
        defect: class of these pixels: an image has one kind of defect. All others are `NORMAL`, background.
        mask: bool, H×W, the pixels that were found.
        category_map: integers, H×W: index into `categories` of each pixel of the mask, −1 where the defect is unknown;
            None: all of it is unknown. Pixels outside the mask are background whatever stands there.
        categories: names of the indices.
        roi: bool, H×W; pixels outside are ignored. None: all count.

    Raises:
        ValueError: shapes differ, an index has no name, or the categories are as `Confusion.of` forbids.
    """
    named = _known(categories)[1:]
    found = np.asarray(mask, dtype=np.bool_)
    true = np.zeros(found.shape, np.bool_) if truth is None else np.asarray(truth, dtype=np.bool_)
    indices = np.full(found.shape, -1) if category_map is None else np.asarray(category_map)
    inside = np.ones(found.shape, np.bool_) if roi is None else np.asarray(roi, dtype=np.bool_)
    if not true.shape == indices.shape == inside.shape == found.shape:
        raise ValueError(f"the mask of its findings has the shape {found.shape}, true mask or category map another")
    if found.any() and not -1 <= indices[found].min() <= indices[found].max() < len(named):
        raise ValueError(f"its category map has an index beyond the {len(named)} categories")
    classes = (UNKNOWN_DEFECT, *named, NORMAL)
    predicted = np.where(found, indices + 1, len(named) + 1)
    pairs: Counter[Pair] = Counter()
    for name, pixels in ((defect, true & inside), (NORMAL, ~true & inside)):
        for number, count in enumerate(np.bincount(predicted[pixels], minlength=len(classes))):
            pairs[name, classes[number]] += int(count)
    return +pairs


def unknown_auroc(confidences: Sequence[float], unknown: Sequence[bool]) -> float | None:
    """How well 1 − the highest category score tells defects of unlearned categories from those of learned ones.

    Args:
        confidences: highest category score of each image that is defective and was called so, in [0, 1].
        unknown: whether the model has not learned its category.

    Returns:
        The AUROC in [0, 1], ties counting one half; None when either kind is missing.
    """
    return auroc([1 - value for value in confidences], list(unknown))


def _known(categories: Sequence[str]) -> tuple[str, ...]:
    """The K + 1 classes; refuses names that stand for something else."""
    known = (NORMAL, *categories)
    if len({*known, UNKNOWN_DEFECT}) <= len(known):
        raise ValueError(f"categories must differ from each other, from '{NORMAL}' and from '{UNKNOWN_DEFECT}'")
    return known


def _mean(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> float | None:
    """Mean of the ratios whose denominator is not zero."""
    occurring = wholes > 0
    return float((parts[occurring] / wholes[occurring]).mean()) if occurring.any() else None
