"""The verb `evaluate`: a model and a data set to a scorecard and a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish import __version__
from blemish.data.dataset import Dataset
from blemish.data.decode import read_image
from blemish.data.duplicates import file_hash
from blemish.data.masks import read_mask, resize_mask
from blemish.data.sample import Sample
from blemish.errors import BlemishError, DataError, ImageError
from blemish.evaluation.protocols import PROTOCOLS, ProtocolName
from blemish.evaluation.record import ImageRecord
from blemish.evaluation.report import Case, ReportWriter
from blemish.evaluation.scorecard import Scorecard
from blemish.evaluation.scorecard_builder import ScorecardBuilder
from blemish.inspection import Failure, Inspection
from blemish.inspector import Inspector

Progress = Callable[[int, int], None]


def evaluate(
    inspector: Inspector,
    dataset: Dataset,
    *,
    protocol: ProtocolName = "honest",
    report: str | Path | None = None,
    meta: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Scorecard:
    """Inspect the test images of a data set and compare with the truth; the model is not told the products.

    Pixel metrics are at model resolution. Masks are resized by `data.masks.resize_mask`; a defective image without a
    usable mask counts for the image metrics only. An image that cannot be read is left out: it stands with its reason
    in the scorecard's `meta["unreadable"]` and in the report. `meta["warnings"]` has all else one should know.

    Args:
        inspector: the model.
        dataset: its training images are not looked at.
        protocol: see `blemish.evaluation.protocols`.
        report: HTML file to write.
        meta: what is needed to repeat it, JSON values; joins what is known here.
        progress: called after every image with the numbers of images done and of all.

    Raises:
        DataError: there is no test image, or none that can be read.
        MissingExtraError: SciPy is not installed.
    """
    samples = dataset.test()
    if not samples:
        raise DataError(
            "The data set has no test images.", "Add a test split: images of normal and of defective parts."
        )
    started, done = time.monotonic(), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(samples))

    evaluation = _Evaluation(inspector, protocol, report)
    results = PROTOCOLS[protocol](inspector, [sample.path for sample in samples], tick)
    for sample, result in zip(samples, results, strict=True):
        evaluation.add(sample, result)
    facts = {
        "blemish": __version__,
        "preset": inspector.config.preset,
        "backbone": inspector.config.backbone.name,
        "size": inspector.config.model.size,
        "seed": inspector.config.seed,
        "test_images": len(samples),
        "seconds": round(time.monotonic() - started, 1),
        "warnings": [*_warnings(dataset, inspector), *evaluation.warnings],
    }
    return evaluation.finish({**facts, **(meta or {})})


class _Evaluation:
    """Takes results in one by one and gives scorecard and report."""

    def __init__(self, inspector: Inspector, protocol: ProtocolName, report: str | Path | None) -> None:
        products = inspector.calibration.products
        rates = {name: (one.false_alarm_rate, one.promised_rate) for name, one in products.items()}
        self._inspector = inspector
        self._builder = ScorecardBuilder("paper (transductive)" if protocol == "paper" else protocol, rates)
        # Stored thresholds mean nothing for maps of another fusion.
        calibration = inspector.calibration if protocol == "honest" else None
        self._report = None if report is None else ReportWriter(report, "Evaluation", calibration=calibration)
        self._unreadable: list[dict[str, str]] = []
        self.warnings: list[str] = []

    def add(self, sample: Sample, result: Inspection | Failure) -> None:
        if isinstance(result, Failure):
            self._leave_out(sample, result.error)
            return
        truth = self._truth(sample)
        small = None if truth is None else resize_mask(truth, self._inspector.size)
        roi = self._inspector.rois.get(sample.product)
        try:
            self._builder.add(ImageRecord.of(sample, result), result.anomaly_map, small, roi, result)
        except BlemishError as error:
            self._leave_out(sample, error)
            return
        if self._report is not None:
            self._report.add(Case.of(sample, result, lambda: self._picture(sample, result), truth))

    def finish(self, meta: dict[str, Any]) -> Scorecard:
        """Raises DataError when nothing could be read."""
        card = self._builder.finish({**meta, "unreadable": self._unreadable})
        if not card.records:
            first, count = self._unreadable[0]["reason"], len(self._unreadable)
            raise DataError(f"None of {count} test images can be evaluated: {first}", "Run: blemish check DATA")
        if self._report is not None:
            self._report.finish(card)
        return card

    def _leave_out(self, sample: Sample, error: BlemishError) -> None:
        self._unreadable.append({"path": str(sample.path), "reason": error.message})
        if self._report is not None:
            self._report.add_unreadable(str(sample.path), error.message)

    def _truth(self, sample: Sample) -> NDArray[np.bool_] | None:
        """The mask of a defective image at its own size; None when there is none that can be used."""
        if sample.mask is None or not sample.defective:
            return None
        try:
            mask = read_mask(sample.mask)
        except ImageError as error:
            self.warnings.append(f"{error.message} Its image counts for the image metrics only.")
            return None
        if mask.any():
            return mask
        self.warnings.append(f"The mask {sample.mask} is empty. Its image counts for the image metrics only.")
        return None

    def _picture(self, sample: Sample, inspection: Inspection) -> Image.Image:
        """The image for the report; grey where the file has gone since it was inspected."""
        known = self._inspector.calibration.products.get(sample.product)
        try:
            pixels = read_image(sample.path, intensity_range=known.intensity_range if known else None)
        except ImageError:
            return Image.new("L", inspection.size, 128)
        return Image.fromarray(pixels)


def _warnings(dataset: Dataset, inspector: Inspector) -> list[str]:
    """What makes the figures mean less than they seem to."""
    found = [problem.message for problem in dataset.problems if problem.severity != "info"]
    if unknown := sorted({sample.product for sample in dataset.test()} - set(inspector.products)):
        known = ", ".join(sorted(inspector.products))
        found.append(f"The model has not learned {', '.join(unknown)}. It knows {known}.")
    paths = [sample.path for sample in dataset.test()] if inspector.seen else []
    if seen := [path for path in paths if file_hash(path) in inspector.seen]:
        found.append(
            f"{len(seen)} test images trained or calibrated this model, such as {seen[0]}: its results flatter. "
            "Was the data split otherwise, or has it grown since?"
        )
    return found
