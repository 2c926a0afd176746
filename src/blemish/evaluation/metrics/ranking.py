"""How defective and normal scores interleave: all that the ranking metrics need, from one sort of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranking:
    """Counts at every distinct defective score, highest first (U of them).

    Thresholds that only normal scores reach need no entry of their own: recall does not change there, so precision
    and F1 are worse than at the next defective score, and the ROC curve runs level.

    Attributes:
        thresholds: U distinct defective scores; "called defective" means score ≥ threshold.
        caught: int64, U; defective scores ≥ threshold.
        alarms: int64, U; normal scores ≥ threshold.
        alarms_above: int64, U; normal scores > threshold. Where it is below `alarms`, normal scores tie with
            defective ones, and the ROC curve rises in a straight slope from the one count to the other.
        defective: number of defective scores, ≥ 1.
        normal: number of normal scores, ≥ 1.
    """

    thresholds: NDArray[Any]
    caught: NDArray[np.int64]
    alarms: NDArray[np.int64]
    alarms_above: NDArray[np.int64]
    defective: int
    normal: int

    @classmethod
    def of(cls, normal: NDArray[Any], defective: NDArray[Any]) -> Ranking | None:
        """Rank two ascending, finite score arrays of one dtype; None when either is empty (nothing is defined then)."""
        if not len(normal) or not len(defective):
            return None
        starts = np.flatnonzero(np.concatenate([[True], defective[1:] != defective[:-1]]))[::-1]
        thresholds = defective[starts]
        return cls(
            thresholds=thresholds,
            caught=len(defective) - starts,
            alarms=len(normal) - np.searchsorted(normal, thresholds, side="left"),
            alarms_above=len(normal) - np.searchsorted(normal, thresholds, side="right"),
            defective=len(defective),
            normal=len(normal),
        )

    @property
    def steps(self) -> NDArray[np.int64]:
        """How many defective scores equal each threshold: int64, U."""
        return np.diff(self.caught, prepend=0)

    def auroc(self) -> float:
        """Probability that a defective score exceeds a normal one, ties counting one half."""
        below = self.normal - (self.alarms + self.alarms_above) / 2
        return float(self.steps @ below / (self.defective * self.normal))

    def average_precision(self) -> float:
        """Precision averaged over the steps of recall, without interpolation (scikit-learn's definition)."""
        return float(self.steps @ (self.caught / (self.caught + self.alarms)) / self.defective)

    def f1_max(self) -> tuple[float, float]:
        """The highest F1 over all thresholds, and the highest threshold that reaches it."""
        f1 = 2 * self.caught / (self.caught + self.alarms + self.defective)
        best = int(np.argmax(f1))
        return float(f1[best]), float(self.thresholds[best])

    def area_to(self, limit: float, gains: NDArray[np.float64]) -> float:
        """Area under the curve that rises by `gains` (U) at the thresholds, up to a false positive rate.

        The curve is piecewise linear through the points of all distinct scores and cut at the limit by linear
        interpolation; its area is divided by the limit, so that a curve at 1 from the start scores 1.
        """
        end = limit * self.normal
        ramp = self.alarms - self.alarms_above
        climbed = np.clip(end - self.alarms_above, 0, ramp)
        area = climbed**2 / (2 * np.maximum(ramp, 1)) + np.maximum(end - self.alarms, 0)
        return float(gains @ area / end)
