"""Thresholds and p-values from held-out normal images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.data.duplicates import file_hashes
from blemish.errors import DataError
from blemish.inspection import Failure
from blemish.inspector import Inspector, RawMaps
from blemish.scoring import image_score
from blemish.training.kept import hold_others
from blemish.training.loop import TrainProgress

Report = Callable[[TrainProgress], None]
Statistics = tuple[float, float, float]


def calibrate(
    inspector: Inspector,
    images: Iterable[Path | NDArray[np.uint8]],
    *,
    product: str | None = None,
    false_alarm_rate: float | None = None,
    copied: int | None = None,
    compared: bool = False,
    fresh: Collection[str] = (),
    groups: Sequence[str] | None = None,
    progress: Report | None = None,
    raws: Iterable[RawMaps | Failure] | None = None,
) -> tuple[Inspector, list[Failure]]:
    """Set thresholds anew from normal images, without training.

    They also take the place of the normal images that stay with the model for such thresholds, so that categories that
    are learned later do not bring back the former ones.

    Args:
        inspector: the model.
        images: normal images that did not train it, files or pixels.
        product: what they all show; None lets the model find out, which must be one and the same.
        false_alarm_rate: requested share of normal images called defective; None keeps the rate.
        copied: how many training images these are altered copies of; None: they are none.
        compared: some or all trained the model; `raws` says what it sees in each without the patches of its own part.
        fresh: of `groups` those that did not, where others did.
        groups: which part each image shows; images of one part count as one. None: each shows another.
        progress: called after every image.
        raws: what the engine says of each of them, where that is known already; then the model keeps what it has.

    Returns:
        The model with its new calibration (other products keep theirs), and the unreadable files.

    Raises:
        DataError: no image could be read, or they seem to show several products or none that the model knows.
    """
    chosen = list(images)
    statistics: dict[str, dict[str, list[Statistics]]] = {}
    used: list[tuple[Path | NDArray[np.uint8], str]] = []
    unknown = 0
    failures: list[Failure] = []
    for done, raw in enumerate(inspector.raw_maps(chosen, product=product) if raws is None else raws, 1):
        if isinstance(raw, Failure):
            failures.append(raw)
        elif not (raw.named or inspector.calibration[raw.product].known(raw.similarities[raw.product])):
            unknown += 1
        else:
            part = str(done) if groups is None else groups[done - 1]
            statistics.setdefault(raw.product, {}).setdefault(part, []).append(_statistics(inspector, raw))
            used.append((chosen[done - 1], part))
        if progress is not None:
            progress(TrainProgress("calibration", done, len(chosen)))
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
    several = count if count > len(parts) else None
    new_scores = [score for part, score in zip(parts, scores, strict=True) if part in fresh]
    new = inspector.calibration[name].with_images(scores, peaks, similarities, several, copied, compared, new_scores)
    if raws is None and copied is None:
        new = new.model_copy(update={"floor": None})  # it stood in for images such as these
    if false_alarm_rate is not None:
        new = new.with_rate(false_alarm_rate)
    kept = inspector.kept
    if raws is None and name in kept:
        images, parts_shown = zip(*used, strict=True)
        others = hold_others(kept[name], images, parts_shown, inspector.config, new.intensity_range)
        kept = {**kept, name: others}
    return replace(
        inspector,
        calibration=inspector.calibration.with_product(name, new),
        kept=kept,
        seen=inspector.seen | file_hashes(one for one in chosen if isinstance(one, Path)),
    ), failures


def _worst(images: list[Statistics]) -> Statistics:
    scores, peaks, similarities = zip(*images, strict=True)
    return max(scores), max(peaks), min(similarities)


def _statistics(inspector: Inspector, raw: RawMaps) -> Statistics:
    fused = inspector.fused(raw)
    return image_score(fused), float(fused.max()), raw.similarities[raw.product]
