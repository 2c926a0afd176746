"""The scorecard: what an evaluation found, per image, per product and over all products."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from blemish.errors import DataError
from blemish.evaluation.metrics import Confusion, Rate
from blemish.evaluation.record import ImageRecord
from blemish.files import replaced

SCHEMA_VERSION = 2  # 1 had no names of defects; it is still read
UNNAMED_DEFECT = "unnamed"  # defects without a name, where results are by category

# Metrics that need no threshold (attributes of `ProductScore`) and their column heads.
RANKING_METRICS = {
    "i_auroc": "image\nAUROC",
    "i_ap": "image\nAP",
    "i_f1max": "image\nF1max",
    "p_auroc": "pixel\nAUROC",
    "p_ap": "pixel\nAP",
    "p_f1max": "pixel\nF1max",
    "aupro_30": "AUPRO\n0.3",
    "aupro_05": "AUPRO\n0.05",
}
# Metrics of the verdicts at the chosen threshold, and of the product that was found.
VERDICT_METRICS = ("retrieval_accuracy", "false_alarm_rate", "recall_rate")
# Metrics of the names that defects got, where the model has learned categories, and their column heads.
NAMING_METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced\naccuracy",
    "macro_f1": "macro\nF1",
    "miou": "mIoU",
    "unknown_auroc": "unknown\nAUROC",
}
# Everything that is averaged over products.
METRICS = (*RANKING_METRICS, *VERDICT_METRICS, *NAMING_METRICS)


@dataclass(frozen=True)
class ProductScore:
    """The metrics of one product; fractions in [0, 1], None where undefined (see `PixelMetrics` for the pixel ones).

    Attributes:
        normals, defectives: numbers of test images.
        without_mask: defective images without ground truth, which the pixel metrics leave out.
        f1_threshold: map value at which `p_f1max` is reached.
        retrieval_accuracy: share of images whose prompt was that of their own product.
        false_alarms: normal images that were rejected, of all normal ones.
        recall: defective images that were caught, of all defective ones.
        requested_rate: false-alarm rate that the user asked for.
        effective_rate: false-alarm rate that the calibration images promise; None where they promise nothing.
        recall_by_defect: defect category → its caught images; defects without a name stand under `UNNAMED_DEFECT`.
        accuracy, balanced_accuracy, macro_f1: of the names that images got, over the learned categories and `normal`
            (see `Confusion`); None, as all that follows, when the model has learned no categories of this product.
        miou: mean intersection over union of the learned categories and background, pooled over all test pixels with
            known truth (`Confusion.mean_iou`).
        unknown_auroc: how well low category scores tell defects of unlearned categories from those of learned ones,
            among defective images that were called so.
        confusion: true and predicted names of the images.
    """

    product: str
    normals: int
    defectives: int
    without_mask: int
    i_auroc: float | None
    i_ap: float | None
    i_f1max: float | None
    p_auroc: float | None
    p_ap: float | None
    p_f1max: float | None
    f1_threshold: float | None
    aupro_30: float | None
    aupro_05: float | None
    retrieval_accuracy: float | None
    false_alarms: Rate | None
    recall: Rate | None
    requested_rate: float | None
    effective_rate: float | None
    recall_by_defect: dict[str, Rate] = field(default_factory=dict)
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    miou: float | None = None
    unknown_auroc: float | None = None
    confusion: Confusion | None = None

    @property
    def false_alarm_rate(self) -> float | None:
        return self.false_alarms.value if self.false_alarms else None

    @property
    def recall_rate(self) -> float | None:
        return self.recall.value if self.recall else None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProductScore:
        rates = {name: Rate(**data[name]) if data[name] else None for name in ("false_alarms", "recall")}
        by_defect = {defect: Rate(**rate) for defect, rate in data["recall_by_defect"].items()}
        confusion = Confusion.from_dict(data["confusion"]) if data.get("confusion") else None
        return cls(**{**data, **rates, "recall_by_defect": by_defect, "confusion": confusion})


@dataclass(frozen=True)
class Scorecard:
    """The result of one evaluation.

    Attributes:
        protocol: `honest`, or `paper (transductive)`: an image's score depends on the other test images.
        products: sorted by name.
        false_alarms, recall: counted over the images of all products together.
        records: every image, in the order in which it was added.
        meta: what is needed to repeat it (model, seed, commit, command, time …); JSON values only.
    """

    protocol: str
    products: tuple[ProductScore, ...]
    false_alarms: Rate | None
    recall: Rate | None
    records: tuple[ImageRecord, ...]
    meta: dict[str, Any]

    def mean(self, metric: str, products: Iterable[str] | None = None) -> float | None:
        """The mean of one of `METRICS` over the products (all, or those named) that have it; None if none has."""
        wanted = None if products is None else set(products)
        values = [getattr(score, metric) for score in self.products if wanted is None or score.product in wanted]
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if known else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form. The means are written for other readers; `from_dict` computes them anew."""
        return {
            "schema_version": SCHEMA_VERSION,
            "protocol": self.protocol,
            "meta": self.meta,
            "mean": {metric: self.mean(metric) for metric in METRICS},
            "false_alarms": asdict(self.false_alarms) if self.false_alarms else None,
            "recall": asdict(self.recall) if self.recall else None,
            "products": [asdict(score) for score in self.products],
            "records": [asdict(record) for record in self.records],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scorecard:
        """The inverse of `to_dict`.

        Raises:
            DataError: written by a later version of Blemish, or not a scorecard.
        """
        try:
            if data["schema_version"] > SCHEMA_VERSION:
                raise DataError("The scorecard was written by a later version of Blemish.", "Upgrade Blemish.")
            return cls(
                protocol=data["protocol"],
                products=tuple(ProductScore.from_dict(score) for score in data["products"]),
                false_alarms=Rate(**data["false_alarms"]) if data["false_alarms"] else None,
                recall=Rate(**data["recall"]) if data["recall"] else None,
                records=tuple(ImageRecord(**record) for record in data["records"]),
                meta=dict(data["meta"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"This is not a scorecard ({error!r}).") from error

    def save(self, path: str | Path) -> None:
        """Write JSON, atomically. Raises BlemishError when the file cannot be written."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        with replaced(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, path: str | Path) -> Scorecard:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, not JSON, or as for `from_dict`.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, DataError) as error:
            raise DataError(f"Cannot read the scorecard '{path}': {error}", "Check the path.") from error
