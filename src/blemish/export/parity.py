"""Whether an exported model answers as the model that it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.inspection import Inspection
from blemish.inspector import Inspector


@dataclass(frozen=True)
class Difference:
    """The largest difference in one answer.

    Attributes:
        name: of the answer.
        largest: over all images; scores and maps in units of the product's threshold, the others as they are.
        allowed: None: it is told, and nothing follows.
    """

    name: str
    largest: float
    allowed: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it is within what is allowed."""
        return self.allowed is None or self.largest <= self.allowed


@dataclass(frozen=True)
class Parity:
    """Outcome of a comparison.

    Attributes:
        images: how many were compared.
        differences: one per answer.
    """

    images: int
    differences: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        """Whether all differences are within what is allowed."""
        return all(one.holds for one in self.differences)


def compare(
    plain: Inspector, exported: Inspector, images: Sequence[NDArray[np.uint8]], score: float, anomaly_map: float
) -> Parity:
    """Inspect images with both models.

    Args:
        plain: the model.
        exported: what became of it.
        images: uint8 H×W×3.
        score, anomaly_map: allowed differences, in units of the product's threshold.
    """
    pairs: list[tuple[Inspection, Inspection]] = []
    for one, other in zip(plain.inspect_many(images), exported.inspect_many(images), strict=True):
        assert isinstance(one, Inspection)
        assert isinstance(other, Inspection)
        pairs.append((one, other))
    scales = [_scales(plain, one) for one, _ in pairs]
    both = list(zip(pairs, scales, strict=True))
    largest = {
        "score": max(abs(one.score - other.score) / scale for (one, other), (scale, _) in both),
        "anomaly map": max(
            float(np.abs(one.anomaly_map - other.anomaly_map).max()) / scale for (one, other), (_, scale) in both
        ),
        "p-value": max(abs(one.p_value - other.p_value) for one, other in pairs),
        "product": sum(one.product != other.product for one, other in pairs),
        "verdict": sum(one.defective != other.defective for one, other in pairs),
        "category": sum(one.category != other.category for one, other in pairs),
    }
    allowed = {"score": score, "anomaly map": anomaly_map}
    return Parity(len(pairs), tuple(Difference(name, value, allowed.get(name)) for name, value in largest.items()))


def _scales(inspector: Inspector, one: Inspection) -> tuple[float, float]:
    """Threshold of score and of pixels of the most similar product; 1 where it has none."""
    calibration = inspector.calibration.products.get(one.product)
    if calibration is None or not calibration.n:
        return 1.0, 1.0
    return max(calibration.threshold, 1e-9), max(calibration.pixel_threshold, 1e-9)
