"""Builds a scorecard while test images stream by."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from numpy.typing import ArrayLike

from blemish.errors import BlemishError
from blemish.evaluation.metrics import PixelAccumulator, Rate, auroc, average_precision, f1_max
from blemish.evaluation.naming import Naming, named_pixels
from blemish.evaluation.record import ImageRecord
from blemish.evaluation.scorecard import UNNAMED_DEFECT, ProductScore, Scorecard
from blemish.inspection import Inspection


class ScorecardBuilder:
    """Takes test images in one by one, in any order, and makes the scorecard at the end.

    Holds four bytes per pixel of the anomaly maps and nothing else of the images.

    Args:
        protocol: name of the protocol that the images are scored under.
        rates: product → requested and promised false-alarm rate; the latter None where nothing is promised.
    """

    def __init__(self, protocol: str = "honest", rates: Mapping[str, tuple[float, float | None]] | None = None) -> None:
        self._protocol = protocol
        self._rates = dict(rates or {})
        self._records: list[ImageRecord] = []
        self._pixels: dict[str, PixelAccumulator] = defaultdict(PixelAccumulator)
        self._names: dict[str, Naming] = defaultdict(Naming)
        self._without_mask: Counter[str] = Counter()

    def add(
        self,
        record: ImageRecord,
        anomaly_map: ArrayLike,
        mask: ArrayLike | None,
        roi: ArrayLike | None = None,
        found: Inspection | None = None,
    ) -> None:
        """Take one image in; nothing is kept of an image that raises, so that the others can go on.

        Args:
            record: what is true and what was said.
            anomaly_map: float32, H×W, finite.
            mask: bool, H×W, the true defect at the map's size. None: no pixel of a normal image is defective;
                a defective image counts for its score and verdict only.
            roi: bool, H×W; pixels outside are ignored. None: all count.
            found: the inspection that the record is of; without it defects have no names.

        Raises:
            BlemishError: a value is not finite, the sizes of maps, mask and region of interest differ, or a category
                has a name that is none.
        """
        known = mask is not None or record.label == "normal"
        try:
            if not all(map(math.isfinite, (record.score, record.p_value, record.similarity))):
                raise ValueError("its score, p-value or similarity is not finite")
            named = None if found is None else named_pixels(record, found, mask, roi)
            if known:
                self._pixels[record.product].add(anomaly_map, mask, roi)
        except ValueError as error:
            message = f"'{record.source}' cannot be evaluated: {error}."
            raise BlemishError(message, "Check this image, its mask and the model.") from error
        if found is not None:
            self._names[record.product].add(record, found, named)
        self._without_mask[record.product] += not known
        self._records.append(record)

    def finish(self, meta: Mapping[str, Any] | None = None) -> Scorecard:
        """The scorecard of everything added so far.

        Raises:
            MissingExtraError: SciPy, which the confidence intervals need, is not installed.
        """
        by_product: dict[str, list[ImageRecord]] = defaultdict(list)
        for record in self._records:
            by_product[record.product].append(record)
        false_alarms, recall = _verdicts(self._records)
        return Scorecard(
            protocol=self._protocol,
            products=tuple(self._score(product, by_product[product]) for product in sorted(by_product)),
            false_alarms=false_alarms,
            recall=recall,
            records=tuple(self._records),
            meta=dict(meta or {}),
        )

    def _score(self, product: str, records: list[ImageRecord]) -> ProductScore:
        scores, labels = [r.score for r in records], [r.label == "defective" for r in records]
        retrieved = [r.predicted_product == product for r in records if r.predicted_product is not None]
        false_alarms, recall = _verdicts(records)
        requested, effective = self._rates.get(product, (None, None))
        return ProductScore(
            product=product,
            normals=labels.count(False),
            defectives=labels.count(True),
            without_mask=self._without_mask[product],
            i_auroc=auroc(scores, labels),
            i_ap=average_precision(scores, labels),
            i_f1max=f1_max(scores, labels)[0],
            **asdict(self._pixels[product].compute()),
            retrieval_accuracy=sum(retrieved) / len(retrieved) if retrieved else None,
            false_alarms=false_alarms,
            recall=recall,
            requested_rate=requested,
            effective_rate=effective,
            recall_by_defect=_recall_by_defect(records),
            **self._names[product].metrics(records),
        )


def _verdicts(records: list[ImageRecord]) -> tuple[Rate | None, Rate | None]:
    """False alarms among the normal images and recall among the defective ones."""
    normal = [record.defective for record in records if record.label == "normal"]
    defective = [record.defective for record in records if record.label == "defective"]
    return Rate.of(normal), Rate.of(defective)


def _recall_by_defect(records: list[ImageRecord]) -> dict[str, Rate]:
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        if record.label == "defective":
            verdicts[record.defect or UNNAMED_DEFECT].append(record.defective)
    return {defect: rate for defect in sorted(verdicts) if (rate := Rate.of(verdicts[defect]))}
