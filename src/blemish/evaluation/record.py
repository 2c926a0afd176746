"""One test image in the scorecard."""

from __future__ import annotations

from dataclasses import dataclass

from blemish.data.sample import Label, Sample
from blemish.evaluation.metrics.classification import NORMAL, true_class
from blemish.inspection import UNKNOWN_DEFECT, Inspection


@dataclass(frozen=True)
class ImageRecord:
    """One test image: what is true of it and what the model said.

    Attributes:
        source: the image file.
        product: its true product.
        label: the truth, `normal` or `defective`.
        defect: name of the defect category; None for normal images and defects without a name.
        score: image score, finite.
        p_value: share of normal calibration images that score at least as high, in (0, 1].
        defective: the verdict. False for an image of an unknown product: no verdict catches nothing.
        predicted_product: product whose prompt was chosen; `UNKNOWN_PRODUCT` when it is like none; None when the
            product was given and nothing had to be found.
        similarity: cosine similarity to the chosen prompt, in [-1, 1].
        category: what it was called: `normal` unless `defective`, else a category or `UNKNOWN_DEFECT`; None when the
            model has learned no categories of the product that was found.
        category_confidence: the highest category score, in [0, 1]; None when no category has one.
    """

    source: str
    product: str
    label: Label
    defect: str | None
    score: float
    p_value: float
    defective: bool
    predicted_product: str | None
    similarity: float
    category: str | None = None
    category_confidence: float | None = None

    @classmethod
    def of(cls, sample: Sample, inspection: Inspection, *, product_given: bool = False) -> ImageRecord:
        """Pair a sample with its inspection; `product_given` when the model was told the product."""
        return cls(
            source=str(sample.path),
            product=sample.product,
            label=sample.label,
            defect=sample.defect,
            score=float(inspection.score),
            p_value=float(inspection.p_value),
            defective=bool(inspection.defective),
            predicted_product=None if product_given else inspection.product,
            similarity=float(inspection.similarity),
            category=_category(inspection),
            category_confidence=max(map(float, inspection.category_scores.values()), default=None),
        )

    @property
    def true_class(self) -> str | None:
        """`normal`, or the category of its defect; None for several kinds of defect and those without a name."""
        return true_class(self.label == "defective", self.defect)

    @property
    def predicted_class(self) -> str:
        """What it was called. A defective image of a product without categories has an unknown defect."""
        return (self.category or UNKNOWN_DEFECT) if self.defective else NORMAL


def _category(inspection: Inspection) -> str | None:
    if not inspection.categories:
        return None
    return (inspection.category or UNKNOWN_DEFECT) if inspection.defective else NORMAL
