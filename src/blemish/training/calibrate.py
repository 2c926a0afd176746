"""Thresholds and p-values from held-out normal images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from blemish.errors import DataError
from blemish.inspection import Failure
from blemish.inspector import Inspector, RawMaps
from blemish.scoring import fuse, image_score
from blemish.training.loop import TrainProgress

Report = Callable[[TrainProgress], None]


def calibrate(
    inspector: Inspector,
    images: Iterable[Path],
    *,
    product: str | None = None,
    false_alarm_rate: float | None = None,
    progress: Report | None = None,
) -> tuple[Inspector, list[Failure]]:
    """Set thresholds anew from normal images, without training.

    Args:
        inspector: the model.
        images: normal images that did not train it.
        product: what they all show; None lets the model find out, which needs images of known products.
        false_alarm_rate: requested share of normal images called defective; None keeps the rate.
        progress: called after every image.

    Returns:
        The model with its new calibration (products without images keep theirs), and the unreadable files.

    Raises:
        DataError: no image could be read.
    """
    paths = list(images)
    statistics: dict[str, list[tuple[float, float, float]]] = {}
    failures: list[Failure] = []
    for done, raw in enumerate(inspector.raw_maps(paths, product=product), 1):
        if isinstance(raw, Failure):
            failures.append(raw)
        else:
            statistics.setdefault(raw.product, []).append(_statistics(inspector, raw))
        if progress is not None:
            progress(TrainProgress("calibration", done, len(paths)))
    if not statistics:
        raise DataError("None of the calibration images could be read.", "Name readable images of normal parts.")
    calibration = inspector.calibration
    for name, rows in statistics.items():
        scores, peaks, similarities = zip(*rows, strict=True)
        calibration = calibration.with_product(name, calibration[name].with_images(scores, peaks, similarities))
    if false_alarm_rate is not None:
        calibration = calibration.with_rate(false_alarm_rate, product)
    return inspector.with_calibration(calibration), failures


def _statistics(inspector: Inspector, raw: RawMaps) -> tuple[float, float, float]:
    fused = fuse(
        raw.reconstruction, raw.refiner, inspector.calibration[raw.product].fusion, inspector.rois.get(raw.product)
    )
    return image_score(fused), float(fused.max()), raw.similarities[raw.product]
