"""Thresholds and p-values from held-out normal images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from blemish.data.duplicates import file_hashes
from blemish.errors import DataError
from blemish.inspection import Failure
from blemish.inspector import Inspector, RawMaps
from blemish.scoring import fuse, image_score
from blemish.training.loop import TrainProgress

Report = Callable[[TrainProgress], None]
Statistics = tuple[float, float, float]


def calibrate(
    inspector: Inspector,
    images: Iterable[Path],
    *,
    product: str | None = None,
    false_alarm_rate: float | None = None,
    groups: Mapping[Path, str] | None = None,
    progress: Report | None = None,
) -> tuple[Inspector, list[Failure]]:
    """Set thresholds anew from normal images, without training.

    Args:
        inspector: the model.
        images: normal images that did not train it.
        product: what they all show; None lets the model find out, which must be one and the same.
        false_alarm_rate: requested share of normal images called defective; None keeps the rate.
        groups: which part an image shows; images of one part count as one. None: each shows another.
        progress: called after every image.

    Returns:
        The model with its new calibration (other products keep theirs), and the unreadable files.

    Raises:
        DataError: no image could be read, or they seem to show several products or none that the model knows.
    """
    paths = list(images)
    statistics: dict[str, dict[str, list[Statistics]]] = {}
    unknown = 0
    failures: list[Failure] = []
    found = zip(paths, inspector.raw_maps(paths, product=product), strict=True)
    for done, (path, raw) in enumerate(found, 1):
        if isinstance(raw, Failure):
            failures.append(raw)
        elif not (raw.named or inspector.calibration[raw.product].known(raw.similarities[raw.product])):
            unknown += 1
        else:
            part = str(path) if groups is None else groups[path]
            statistics.setdefault(raw.product, {}).setdefault(part, []).append(_statistics(inspector, raw))
        if progress is not None:
            progress(TrainProgress("calibration", done, len(paths)))
    if unknown or len(statistics) > 1:
        shown = [f"{sum(map(len, parts.values()))} × {name}" for name, parts in sorted(statistics.items())]
        shown += [f"{unknown} × none of the model's products"] if unknown else []
        raise DataError(
            f"The calibration images seem to show {', '.join(shown)}.",
            "Calibrate one product at a time: --product NAME.",
        )
    if not statistics:
        raise DataError("None of the calibration images could be read.", "Name readable images of normal parts.")
    ((name, parts),) = statistics.items()
    scores, peaks, similarities = zip(*map(_worst, parts.values()), strict=True)
    count = sum(map(len, parts.values()))
    new = inspector.calibration[name].with_images(scores, peaks, similarities, count if count > len(parts) else None)
    if false_alarm_rate is not None:
        new = new.with_rate(false_alarm_rate)
    calibration = inspector.calibration.with_product(name, new)
    return replace(inspector, calibration=calibration, seen=inspector.seen | file_hashes(paths)), failures


def _worst(images: list[Statistics]) -> Statistics:
    scores, peaks, similarities = zip(*images, strict=True)
    return max(scores), max(peaks), min(similarities)


def _statistics(inspector: Inspector, raw: RawMaps) -> Statistics:
    fused = fuse(
        raw.reconstruction, raw.refiner, inspector.calibration[raw.product].fusion, inspector.rois.get(raw.product)
    )
    return image_score(fused), float(fused.max()), raw.similarities[raw.product]
