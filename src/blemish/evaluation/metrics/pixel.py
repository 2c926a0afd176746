"""Pixel-level metrics of one product, exact over all thresholds, from one sort of its pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish import regions
from blemish.evaluation.metrics.ranking import Ranking

AUPRO_LIMITS = (0.3, 0.05)

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class PixelMetrics:
    """Localisation metrics in [0, 1]; all None without defective or without defect-free pixels.

    Attributes:
        p_auroc: area under the ROC curve of the pixels.
        p_ap: average precision of the pixels.
        p_f1max: highest F1 of the pixels over all thresholds.
        f1_threshold: the map value where it is reached (defective: value ≥ threshold).
        aupro_30: area under the per-region overlap curve up to a false positive rate of 0.3, divided by 0.3
            (Bergmann et al., MVTec AD, IJCV 2021). Every 8-connected region weighs the same; the false positive
            rate is over all defect-free pixels of the product, those of normal images included.
        aupro_05: the same up to 0.05.
    """

    p_auroc: float | None = None
    p_ap: float | None = None
    p_f1max: float | None = None
    f1_threshold: float | None = None
    aupro_30: float | None = None
    aupro_05: float | None = None


class PixelAccumulator:
    """Collects the pixels of one product image by image; holds 4 bytes per defect-free and 8 per defective pixel."""

    def __init__(self) -> None:
        self._normal: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
        self._defective: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self._region_count = 0

    def add(self, anomaly_map: ArrayLike, mask: ArrayLike | None = None, roi: ArrayLike | None = None) -> None:
        """Take one image in; nothing is kept of an image that raises.

        Args:
            anomaly_map: float32, H×W, finite; higher is more defective. Other dtypes are rounded to float32.
            mask: bool, H×W, true on defective pixels; None for a normal image.
            roi: bool, H×W; pixels outside are ignored, as if the image ended there. None: all pixels count.

        Raises:
            ValueError: shapes differ, a mask is not boolean, or the map is not finite inside the region of interest.
        """
        values = np.asarray(anomaly_map, dtype=np.float32)
        if values.ndim != 2:
            raise ValueError(f"the anomaly map must have two dimensions, not the shape {values.shape}")
        inside = np.ones(values.shape, dtype=np.bool_) if roi is None else _checked(roi, values.shape, "roi")
        if not np.isfinite(values[inside]).all():
            raise ValueError("the anomaly map has values that are not finite")
        if mask is None:
            self._normal.append(values[inside])
            return
        defects = _checked(mask, values.shape, "mask") & inside
        labels, count = regions.label(defects)
        numbers = labels[defects]
        self._normal.append(values[inside & ~defects])
        self._defective.append(_packed(values[defects], np.bincount(numbers)[numbers]))
        self._region_count += count

    def compute(self) -> PixelMetrics:
        """The metrics of everything added so far; needs as much memory again, and ≤ 60 bytes per defective pixel."""
        scores, areas = _unpacked(_sorted(self._defective))
        ranking = Ranking.of(_sorted(self._normal), scores)
        if ranking is None:
            return PixelMetrics()

        # A pixel lifts the mean overlap by 1 / (its region's area · number of regions) once the threshold falls
        # to its score: the curve is known from these shares alone, without following each region.
        starts = ranking.defective - ranking.caught[::-1]
        gains = np.add.reduceat(1.0 / areas, starts)[::-1] / self._region_count
        aupro_30, aupro_05 = (ranking.area_to(limit, gains) for limit in AUPRO_LIMITS)
        p_f1max, f1_threshold = ranking.f1_max()
        return PixelMetrics(
            p_auroc=ranking.auroc(),
            p_ap=ranking.average_precision(),
            p_f1max=p_f1max,
            f1_threshold=f1_threshold,
            aupro_30=aupro_30,
            aupro_05=aupro_05,
        )


def pixel_metrics(
    maps: Iterable[ArrayLike],
    masks: Iterable[ArrayLike | None],
    roi: NDArray[np.bool_] | Iterable[ArrayLike | None] | None = None,
) -> PixelMetrics:
    """The pixel metrics of one product.

    Args:
        maps: N anomaly maps, float32, H×W each (an N×H×W array or any iterable).
        masks: N masks, bool, H×W each; None for a normal image.
        roi: one bool H×W array for all images, or N of them; pixels outside are ignored.

    Raises:
        ValueError: as `PixelAccumulator.add`, or the numbers of maps, masks and regions of interest differ.
    """
    accumulator = PixelAccumulator()
    pairs = zip(maps, masks, strict=True)
    if roi is None or (isinstance(roi, np.ndarray) and roi.ndim == 2):
        for anomaly_map, mask in pairs:
            accumulator.add(anomaly_map, mask, roi)
    else:
        for (anomaly_map, mask), inside in zip(pairs, roi, strict=True):
            accumulator.add(anomaly_map, mask, inside)
    return accumulator.compute()


def _checked(mask: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.dtype != np.bool_:
        raise ValueError(f"the {name} must be boolean, not {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"the {name} has the shape {array.shape}, the anomaly map {shape}")
    return array


def _sorted(pieces: list[NDArray[Scalar]]) -> NDArray[Scalar]:
    """Merge the pieces into one ascending array, which takes their place in the list."""
    pieces[:] = [np.concatenate(pieces)]
    pieces[0].sort()
    return pieces[0]


def _packed(scores: NDArray[np.float32], areas: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Scores and the areas of their regions as integers in the scores' order: one plain sort then moves both."""
    bits = (scores + np.float32(0)).view(np.int32)  # the sum makes -0.0 equal to 0.0
    return _ordered(bits).astype(np.int64) << 32 | areas


def _unpacked(packed: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The inverse of `_packed`: scores and areas."""
    return _ordered((packed >> 32).astype(np.int32)).view(np.float32), packed.astype(np.int32)


def _ordered(bits: NDArray[np.int32]) -> NDArray[np.int32]:
    """Bits of floats → integers of the same order, and back: negative floats order by falling magnitude."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)
