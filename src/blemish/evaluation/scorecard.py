"""The scorecard: what an evaluation found, per image, per product and over all products."""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from blemish.data.sample import Label, Sample
from blemish.errors import BlemishError, DataError
from blemish.evaluation.metrics import PixelAccumulator, Rate, auroc, average_precision, f1_max
from blemish.inspection import Inspection

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA_VERSION = 1
UNNAMED_DEFECT = "unnamed"

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
# Everything that is averaged over products.
METRICS = (*RANKING_METRICS, "retrieval_accuracy", "false_alarm_rate", "recall_rate")


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
        )


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
        effective_rate: false-alarm rate that the calibration images can promise.
        recall_by_defect: defect category → its caught images; defects without a name stand under `UNNAMED_DEFECT`.
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
        return cls(**{**data, **rates, "recall_by_defect": by_defect})


@dataclass(frozen=True)
class Scorecard:
    """The result of one evaluation.

    Attributes:
        protocol: `honest`, or `paper` (transductive: an image's score depends on the other test images).
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
        """Write JSON, atomically: an existing file is replaced whole or not at all."""
        target = Path(path)
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

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

    def tables(self) -> list[Table]:
        """Tables for the terminal, in percent: ranking metrics, verdicts, and recall by defect category."""
        tables = [_ranking_table(self), _verdict_table(self)]
        if any(score.recall_by_defect for score in self.products):
            tables.append(_defect_table(self))
        return tables

    def to_text(self, width: int = 100) -> str:
        """The tables as plain text, at most `width` characters wide."""
        from rich.console import Console

        buffer = StringIO()
        Console(file=buffer, width=width, color_system=None, legacy_windows=False).print(*self.tables())
        return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


class ScorecardBuilder:
    """Takes test images in one by one, in any order, and makes the scorecard at the end.

    Holds four bytes per pixel of the anomaly maps and nothing else of the images.

    Args:
        protocol: name of the protocol that the images are scored under.
        rates: product → requested and effective false-alarm rate, as far as known.
    """

    def __init__(self, protocol: str = "honest", rates: Mapping[str, tuple[float, float]] | None = None) -> None:
        self._protocol = protocol
        self._rates = dict(rates or {})
        self._records: list[ImageRecord] = []
        self._pixels: dict[str, PixelAccumulator] = defaultdict(PixelAccumulator)
        self._without_mask: Counter[str] = Counter()

    def add(
        self, record: ImageRecord, anomaly_map: ArrayLike, mask: ArrayLike | None, roi: ArrayLike | None = None
    ) -> None:
        """Take one image in; nothing is kept of an image that raises, so that the others can go on.

        Args:
            record: what is true and what was said.
            anomaly_map: float32, H×W, finite.
            mask: bool, H×W, the true defect at the map's size. None: no pixel of a normal image is defective;
                a defective image counts for its score and verdict only.
            roi: bool, H×W; pixels outside are ignored. None: all count.

        Raises:
            BlemishError: a value is not finite, or the sizes of map, mask and region of interest differ.
        """
        known = mask is not None or record.label == "normal"
        try:
            if not all(map(math.isfinite, (record.score, record.p_value, record.similarity))):
                raise ValueError("its score, p-value or similarity is not finite")
            if known:
                self._pixels[record.product].add(anomaly_map, mask, roi)
        except ValueError as error:
            message = f"'{record.source}' cannot be evaluated: {error}."
            raise BlemishError(message, "Check this image, its mask and the model.") from error
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


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _interval(rate: Rate | None) -> str:
    return f"{_percent(rate.value)} ({_percent(rate.low)}–{_percent(rate.high)})" if rate else "–"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE, collapse_padding=True)
    table.caption_justify = "left"
    for index, column in enumerate(zip(heads, *rows, strict=True)):
        if index < text_columns:
            table.add_column(column[0], overflow="fold")
        else:
            table.add_column(column[0], justify="right", min_width=max(map(len, " ".join(column).split())))
    for row in rows:
        # A product may be called "[red]"; only a Text keeps rich from reading that as markup.
        table.add_row(*map(Text, row))
    return table


def _ranking_table(card: Scorecard) -> Table:
    rows = [[score.product, *(_percent(getattr(score, name)) for name in RANKING_METRICS)] for score in card.products]
    rows.append(["mean", *(_percent(card.mean(name)) for name in RANKING_METRICS)])
    table = _table(f"Metrics in percent, protocol {card.protocol}", ["product", *RANKING_METRICS.values()], rows)
    if without_mask := sum(score.without_mask for score in card.products):
        table.caption = f"Defective images without a mask, not in the pixel metrics: {without_mask}.\n"
    return table


def _verdict_table(card: Scorecard) -> Table:
    def row(name: str, counted: ProductScore | Scorecard, *rates: float | None) -> list[str]:
        false_alarms, recall = counted.false_alarms, counted.recall
        rejected = f"{false_alarms.count}/{false_alarms.total}" if false_alarms else "–"
        escaped = f"{recall.complement}/{recall.total}" if recall else "–"
        return [name, rejected, _interval(false_alarms), escaped, _interval(recall), *map(_percent, rates)]

    heads = ["product", "normal\nrejected", "false-\nalarm\nrate", "defective\nescaped", "recall"]
    rows = [row(s.product, s, s.requested_rate, s.effective_rate, s.retrieval_accuracy) for s in card.products]
    rows.append([*row("all images", card), "", "", ""])
    retrieval, false_alarms, recall = (_percent(card.mean(metric)) for metric in METRICS[len(RANKING_METRICS) :])
    rows.append(["mean", "", false_alarms, "", recall, "", "", retrieval])
    title = "Verdicts at the chosen threshold, in percent (95 % interval)"
    return _table(title, [*heads, "rate\nasked", "rate\nkept", "prompt\nfound"], rows)


def _defect_table(card: Scorecard) -> Table:
    rows = [
        [score.product, defect, f"{rate.count}/{rate.total}", _interval(rate)]
        for score in card.products
        for defect, rate in score.recall_by_defect.items()
    ]
    heads = ["product", "defect", "caught", "recall"]
    return _table("Recall by defect, in percent (95 % interval)", heads, rows, text_columns=2)
