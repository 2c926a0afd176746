"""Image-level metrics: how well one score per image separates defective from normal images.

All are None, never a number, when there are images of one class only, and none is ever flipped to 1 - value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from blemish.evaluation.metrics.ranking import Ranking


def auroc(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Area under the ROC curve in [0, 1], ties counting one half.

    Args:
        scores: N finite scores, higher is more defective.
        labels: N booleans (or 0 and 1), true for defective.

    Raises:
        ValueError: unequal lengths, labels other than 0 and 1, or scores that are not finite.
    """
    ranking = _rank(scores, labels)
    return ranking.auroc() if ranking else None


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Average precision in [0, 1], without interpolation. Arguments and errors as for `auroc`."""
    ranking = _rank(scores, labels)
    return ranking.average_precision() if ranking else None


def f1_max(scores: ArrayLike, labels: ArrayLike) -> tuple[float | None, float | None]:
    """The highest F1 over all thresholds, and its threshold (defective: score ≥ threshold; the highest, if several).

    Arguments and errors as for `auroc`.
    """
    ranking = _rank(scores, labels)
    return ranking.f1_max() if ranking else (None, None)


def _rank(scores: ArrayLike, labels: ArrayLike) -> Ranking | None:
    values, truth = np.asarray(scores), np.asarray(labels)
    if values.ndim != 1 or values.shape != truth.shape:
        raise ValueError(f"scores and labels must be two lists of one length, not {values.shape} and {truth.shape}")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("labels must be booleans, or 0 and 1")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    defective = truth.astype(bool)
    return Ranking.of(np.sort(values[~defective]), np.sort(values[defective]))
