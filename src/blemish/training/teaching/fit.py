"""Thresholds of the joint anomaly map, from the held images that stay with the model."""

from __future__ import annotations

from collections.abc import Callable

from blemish.inspector import Inspector
from blemish.training.images import FEW
from blemish.training.left_out import calibrate_kept
from blemish.training.loop import TrainProgress

_FLOOR = 1.2  # where both maps have reached their scale, and a fifth more: copies vary less than new parts
_FEW_SHARE = 0.5  # with so few normal images that copies must do, OneNIP's map tells less


def fit_detection(inspector: Inspector, share: float, report: Callable[[TrainProgress], None]) -> Inspector:
    """Let the discriminator's detection count in the map of every product that has categories; set thresholds anew.

    It is joined with OneNIP's map as that one's own two maps are, by their exponent p: OneNIP's weights are scaled by
    (1 − share)^(1/p). Where the held images are altered copies of the training images, or fewer than 16 of these, they
    say little of new ones, and the share is at least 0.5; with copies nothing counts as defective until both maps
    exceed their scale by a fifth. Products without held images keep their map and their thresholds.

    Args:
        inspector: with categories, calibrated without their detection.
        share: of the detection, in [0, 1).
        report: called after every product.
    """
    products = [name for name in inspector.categories if name in inspector.kept and len(inspector.kept[name].held)]
    for done, product in enumerate(products, 1):
        one = inspector.calibration[product]
        former = one.fusion.former or one.fusion
        few = bool(one.copied) or (one.compared and (one.images or one.n) < FEW)
        own = max(share, _FEW_SHARE) if few else share
        root = 1 / former.exponent
        fusion = former.model_copy(
            update={
                "reconstruction": (1 - own) ** root * former.reconstruction,
                "refiner": (1 - own) ** root * former.refiner,
                "detection": own**root,
                "former": former,
            }
        )
        one = one.model_copy(update={"fusion": fusion, "floor": _FLOOR if one.copied else None})
        inspector = inspector.with_calibration(inspector.calibration.with_product(product, one))
        inspector = calibrate_kept(inspector, product)
        report(TrainProgress("calibration", done, len(products)))
    return inspector
