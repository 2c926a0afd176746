"""Exact metrics of detection (images), localisation (pixels), names and verdicts (rates with intervals)."""

from blemish.evaluation.metrics.classification import Confusion, pixel_pairs, unknown_auroc
from blemish.evaluation.metrics.image import auroc, average_precision, f1_max
from blemish.evaluation.metrics.interval import Rate, clopper_pearson
from blemish.evaluation.metrics.pixel import PixelAccumulator, PixelMetrics, pixel_metrics

__all__ = [
    "Confusion",
    "PixelAccumulator",
    "PixelMetrics",
    "Rate",
    "auroc",
    "average_precision",
    "clopper_pearson",
    "f1_max",
    "pixel_metrics",
    "pixel_pairs",
    "unknown_auroc",
]
