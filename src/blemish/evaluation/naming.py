"""What the defects of one product were called, collected while test images stream by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from blemish.evaluation.metrics import Confusion, pixel_pairs, unknown_auroc
from blemish.evaluation.metrics.classification import NORMAL, Pair
from blemish.evaluation.record import ImageRecord
from blemish.inspection import Inspection

Pixels = Counter[Pair]
"""Pixels of one image by true and predicted class."""


def named_pixels(
    record: ImageRecord, found: Inspection, mask: ArrayLike | None, roi: ArrayLike | None
) -> Pixels | None:
    """Count the pixels of one image; None when their truth is not known: no mask, or not one kind of defect.

    Raises:
        ValueError: as for `pixel_pairs`.
    """
    truth = record.true_class
    if truth is None or (mask is None and truth != NORMAL):
        return None
    return pixel_pairs(mask, truth, found.mask, found.category_map, found.categories, roi)


class Naming:
    """The names that images and pixels of one product got; keeps counts only."""

    def __init__(self) -> None:
        self._categories: dict[str, None] = {}
        self._pixels: dict[str, Pixels] = {}

    def add(self, record: ImageRecord, found: Inspection, pixels: Pixels | None) -> None:
        """Take one image in; `pixels` are those of `named_pixels`.

        The categories are those of its own product: an image taken for another one does not say which they are.
        """
        if found.product == record.product:
            self._categories.update(dict.fromkeys(found.categories))
        if pixels is not None and record.true_class is not None:
            self._pixels.setdefault(record.true_class, Counter()).update(pixels)

    def metrics(self, records: Sequence[ImageRecord]) -> dict[str, Any]:
        """The naming fields of `ProductScore`; none without categories. `records` are all images of the product."""
        categories = tuple(self._categories)
        if not categories:
            return {}
        named = [record for record in records if record.true_class is not None]
        confusion = Confusion.of(Counter((str(r.true_class), r.predicted_class) for r in named), categories)
        pixels: Pixels = Counter()
        for known in (NORMAL, *categories):
            pixels.update(self._pixels.get(known, {}))
        scored = [
            (record.category_confidence, record.true_class not in categories)
            for record in named
            if record.label == "defective" and record.defective and record.category_confidence is not None
        ]
        return {
            "accuracy": confusion.accuracy,
            "balanced_accuracy": confusion.balanced_accuracy,
            "macro_f1": confusion.macro_f1,
            "miou": Confusion.of(pixels, categories).mean_iou,
            "unknown_auroc": unknown_auroc([score for score, _ in scored], [unknown for _, unknown in scored]),
            "confusion": confusion,
        }
