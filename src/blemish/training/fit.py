"""The first calibration of a trained model: fusion weights, thresholds, p-values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import Calibration, FusionWeights, ProductCalibration
from blemish.config import TrainConfig
from blemish.data.decode import IntensityRange, load_square
from blemish.engines.engine import Engine
from blemish.errors import DataError, ImageError
from blemish.evaluation.metrics import PixelAccumulator
from blemish.inspector import Inspector, RawMaps
from blemish.scoring import fuse
from blemish.synthesis.pseudo import PseudoAnomalies
from blemish.training.calibrate import calibrate
from blemish.training.images import TrainingSet
from blemish.training.loop import TrainProgress

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
# So many held-out images of a product are enough to choose between six shares.
_TRIALS = 24
_KEY = 1 << 40  # pseudo-anomalies that no training step has drawn


def fit_calibration(
    engine: Engine,
    training: TrainingSet,
    config: TrainConfig,
    ranges: dict[str, IntensityRange | None],
    rois: dict[str, NDArray[np.bool_]],
    synthesis: PseudoAnomalies,
    report: Callable[[TrainProgress], None],
) -> Inspector:
    """An inspector whose fusion, thresholds and p-values come from the held-out normal images.

    The refiner's share in the fusion is the one of `SHARES` with the highest pixel AP on pseudo-anomalies in held-out
    images, averaged over products; the level of the reconstruction map is measured for each product.
    """
    blank = {
        name: ProductCalibration(false_alarm_rate=config.false_alarm_rate, intensity_range=ranges[name])
        for name in training.products
    }
    inspector = Inspector(engine, training.products, config, Calibration(products=blank))
    for name, mask in rois.items():
        inspector = inspector.with_roi(name, mask)
    held = {name: [image.path for image in training.held if image.product == name] for name in training.products}
    levels: dict[str, float] = {}
    gains: list[list[float]] = []
    for product, paths in held.items():
        normal, anomalous, masks = _trials(inspector, product, paths[:_TRIALS], ranges[product], synthesis)
        levels[product] = _level(normal)
        if normal[0].refiner is not None:
            gains.append(
                [_pixel_ap(normal, anomalous, masks, _weights(levels[product], share, config)) for share in SHARES]
            )
    share = SHARES[int(np.mean(gains, axis=0).argmax())] if gains else 0.0
    fused = {
        name: one.model_copy(update={"fusion": _weights(levels[name], share, config)})
        for name, one in inspector.calibration.products.items()
    }
    inspector = inspector.with_calibration(Calibration(products=fused))
    done, total = 0, len(training.held)
    for product, paths in held.items():
        inspector, _ = calibrate(inspector, paths, product=product)
        done += len(paths)
        report(TrainProgress("calibration", done, total))
    return inspector


def _trials(
    inspector: Inspector,
    product: str,
    paths: list[Path],
    intensity_range: IntensityRange | None,
    synthesis: PseudoAnomalies,
) -> tuple[list[RawMaps], list[RawMaps], NDArray[np.bool_]]:
    """Raw maps of held-out normal images, of a pseudo-anomalous version of each, and its masks."""
    pixels: list[NDArray[np.uint8]] = []
    for path in paths:
        try:
            pixels.append(load_square(path, inspector.size, intensity_range))
        except ImageError:
            continue
    if not pixels:
        raise DataError(f"None of the calibration images of '{product}' can be read.", "Run: blemish check DATA")
    anomalous, masks = synthesis.make(np.stack(pixels), range(_KEY, _KEY + len(pixels)))
    both = [*inspector.raw_maps(pixels, product=product), *inspector.raw_maps(list(anomalous), product=product)]
    maps = [raw for raw in both if isinstance(raw, RawMaps)]
    return maps[: len(pixels)], maps[len(pixels) :], masks


def _level(normal: list[RawMaps]) -> float:
    """99th percentile of the reconstruction error on normal images: high, for a normal pixel."""
    return max(float(np.quantile(np.stack([raw.reconstruction for raw in normal]), 0.99)), 1e-9)


def _weights(level: float, share: float, config: TrainConfig) -> FusionWeights:
    return FusionWeights(reconstruction=(1 - share) / level, refiner=share, evidence=config.evidence)


def _pixel_ap(
    normal: list[RawMaps], anomalous: list[RawMaps], masks: NDArray[np.bool_], weights: FusionWeights
) -> float:
    accumulator = PixelAccumulator()
    for raw in normal:
        accumulator.add(fuse(raw.reconstruction, raw.refiner, weights))
    for raw, mask in zip(anomalous, masks, strict=True):
        accumulator.add(fuse(raw.reconstruction, raw.refiner, weights), mask)
    return accumulator.compute().p_ap or 0.0
