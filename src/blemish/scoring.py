"""From the maps of a model to the final map and the image score."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import FusionWeights

_Float = TypeVar("_Float", np.float32, np.float64)

POOLING_WINDOW = 16
CERTAINLY_NORMAL = 10.0  # minus the logit from which the detection is no evidence at all
_LARGEST = np.float32(1 - 2**-24)  # the float32 probability next to 1


def fuse(
    reconstruction: NDArray[np.float32],
    refiner: NDArray[np.float32] | None,
    weights: FusionWeights,
    roi: NDArray[np.bool_] | None = None,
    detection: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Final anomaly map, joined as `FusionWeights` says (OneNIP eq. 10); 0 outside the region of interest.

    Args:
        reconstruction: h×w, ≥ 0.
        refiner: h×w in [0, 1]; None without a refiner.
        weights: of each.
        roi: h×w, true where defects count.
        detection: h×w logits of the discriminator (UniADC); None while there are no categories.
    """
    maps = [np.float32(weights.reconstruction) * reconstruction]
    if refiner is not None:
        refined = -np.log1p(-np.minimum(refiner, _LARGEST)) if weights.evidence else refiner
        maps.append(np.float32(weights.refiner) * refined)
    if detection is not None and weights.detection:
        maps.append(np.float32(weights.detection) * detection_evidence(detection))
    fused = _joined(maps, weights.exponent)
    return fused if roi is None else np.where(roi, fused, np.float32(0))


def _joined(maps: list[NDArray[np.float32]], exponent: float) -> NDArray[np.float32]:
    if exponent == 1 or len(maps) == 1:
        return np.asarray(sum(maps[1:], start=maps[0]), dtype=np.float32)
    powers = [one**exponent for one in maps]
    return np.asarray(sum(powers[1:], start=powers[0]) ** (1 / exponent), dtype=np.float32)


def detection_evidence(logits: NDArray[_Float]) -> NDArray[_Float]:
    """The discriminator's detection as a map: 0 up to logit −10, 1 at logit 0, where a defect is as likely as not.

    Linear in the logit and not in the probability, which saturates long before the logits stop telling images apart.
    """
    evidence: NDArray[_Float] = np.maximum(logits + CERTAINLY_NORMAL, 0) / CERTAINLY_NORMAL
    return evidence


def image_score(anomaly_map: NDArray[np.float32], window: int = POOLING_WINDOW) -> float:
    """Maximum of the map after window×window average pooling with stride 1, without padding (OneNIP §3.4)."""
    sums = np.cumsum(np.cumsum(anomaly_map, axis=0, dtype=np.float64), axis=1)
    sums = np.pad(sums, ((1, 0), (1, 0)))
    boxes = sums[window:, window:] - sums[:-window, window:] - sums[window:, :-window] + sums[:-window, :-window]
    return float(boxes.max() / window**2)
