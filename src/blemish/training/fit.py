"""The first calibration of a trained model: fusion weights, thresholds, p-values."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import Calibration, FusionWeights, ProductCalibration, threshold_rank
from blemish.config import TrainConfig
from blemish.data.decode import IntensityRange
from blemish.engines.engine import Engine
from blemish.errors import DataError
from blemish.inspection import Failure
from blemish.inspector import Inspector, RawMaps
from blemish.scoring import image_score
from blemish.training.calibrate import calibrate
from blemish.training.images import TrainingImage, TrainingSet
from blemish.training.left_out import maps_without
from blemish.training.runtime import LeftOut, Report, counter, warn_left_out

LEVEL = 0.99
_UNLIKELY = 0.01  # that held-out images score so high by chance
_KEPT_BYTES = 500e6  # of one product's maps
# Whitening brings other products to distances of 0.5 to 1, and the images of one to 0.1 to 0.6.
_WHITENED = {"smallest_distance": 0.15, "farthest": 0.7}
_log = logging.getLogger(__name__)


def fit_calibration(
    engine: Engine,
    training: TrainingSet,
    config: TrainConfig,
    ranges: dict[str, IntensityRange | None],
    rois: dict[str, NDArray[np.bool_]],
    seen: frozenset[str],
    report: Report,
    left_out: LeftOut,
) -> tuple[Inspector, TrainingSet]:
    """An inspector whose fusion, thresholds and p-values come from normal images; see `fit_products`.

    Per product the reconstruction map is divided by its 99th percentile on held-out normal images, then mixed with the
    refiner's at `config.refiner_share`.
    """
    blank = {name: blank_calibration(config, ranges[name], len(training.products)) for name in training.products}
    inspector = Inspector(engine, training.products, config, Calibration(products=blank), seen=seen)
    for name, mask in rois.items():
        inspector = inspector.with_roi(name, mask)
    return fit_products(inspector, training, report, learned=config.trains, left_out=left_out)


def blank_calibration(config: TrainConfig, scale: IntensityRange | None, products: int) -> ProductCalibration:
    """What is known of a product before its calibration images are looked at.

    Args:
        config: of the training.
        scale: lowest and highest value of the product's 16-bit images; None for 8-bit ones.
        products: how many the model has. A single one lies in the middle of all features, from where every direction is
            as good as another: then every image shows it.
    """
    blank = ProductCalibration(false_alarm_rate=config.false_alarm_rate, intensity_range=scale)
    if not config.model.discriminant:
        return blank
    return blank.model_copy(update=_WHITENED if products > 1 else {"smallest_distance": 2.0})


def fit_products(
    inspector: Inspector,
    training: TrainingSet,
    report: Report,
    *,
    learned: bool,
    left_out: LeftOut = warn_left_out,
) -> tuple[Inspector, TrainingSet]:
    """The same for the products of `training`, which are among the inspector's; the others keep their calibration.

    Where the held-out images are too few to promise the rate that is asked for, the highest of their scores would be
    the threshold, and one odd image would decide. Then the training images calibrate as well, each compared with the
    others alone, unless what was held out scores higher than they do. `learned`: whether a network learned from them.
    `left_out`: called with every image that cannot be read.

    Returns:
        The inspector, and the training set with those of the images that calibrated which may stay with the model.
    """
    config = inspector.config
    uses = {product: _calibrating(inspector, training, product) for product in training.products}
    advance = counter(sum(len(held) + len(more) for held, more in uses.values()), report, "calibration")
    staying: list[TrainingImage] = []
    for product, (held, more) in uses.items():
        side, scale = inspector.size, inspector.calibration[product].intensity_range
        chosen = [*held, *more]
        images = [image.load(side, scale, config.seed) if image.copy else image.path for image in chosen]
        compared = bool(more) or training.compared(product)
        own = [training.own_patches(image, config.model.prompt_patches) for image in chosen] if compared else []
        raws = _Raws(inspector, images, product, own, advance)
        weights = _weights(_level(islice(raws, len(held)), product), config)
        one = inspector.calibration[product].model_copy(update={"fusion": weights})
        inspector = inspector.with_calibration(inspector.calibration.with_product(product, one))
        stand_ins = held
        fresh: set[str] = set()
        if more:
            scores = [_score(inspector, raw) for raw in raws]
            if (chance := _chance(chosen, scores, len(held))) < _UNLIKELY:
                what = "held-out images score higher than those that train, and set the thresholds alone"
                _log.warning("'%s': %s (p = %.1g)", product, what, chance)
                chosen, compared = held, False
            else:
                stand_ins = standing_for(chosen, scores, one.false_alarm_rate, config.kept)
                fresh = {image.group for image in held} if learned else set()
        inspector, failures = calibrate(
            inspector,
            images[: len(chosen)],
            product=product,
            groups=[image.group for image in chosen],
            copied=training.originals(product),
            compared=compared,
            fresh=fresh,
            raws=islice(raws, len(chosen)),
        )
        unreadable = {failure.source for failure in failures}
        staying += [image for image in stand_ins if str(image.path) not in unreadable]
        for failure in failures:
            left_out(failure)
    return inspector, replace(training, held=tuple(staying))


def _calibrating(
    inspector: Inspector, training: TrainingSet, product: str
) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """A product's calibration images, and those training images that calibrate as well."""
    held = [image for image in training.held if image.product == product]
    own = [training.train[row] for row in training.indices(product)[:: inspector.tiling.tiles]]
    enough = 1 / (len({image.group for image in held}) + 1) <= inspector.calibration[product].false_alarm_rate
    alone = len({image.group for image in own}) < 2
    taken = training.compared(product) or training.originals(product) is not None
    return held, [] if enough or alone or taken or not inspector.config.model.prompt_patches else own


def _score(inspector: Inspector, raw: RawMaps | Failure) -> float:
    """The image score; of an image that cannot be read, one that is never the highest of a part."""
    return -np.inf if isinstance(raw, Failure) else image_score(inspector.fused(raw))


def _parts(images: Iterable[TrainingImage], scores: Iterable[float]) -> dict[str, tuple[float, TrainingImage]]:
    """The image of each part that scores highest, in falling order of scores."""
    found: dict[str, tuple[float, TrainingImage]] = {}
    for score, image in sorted(zip(scores, images, strict=True), key=lambda one: one[0], reverse=True):
        found.setdefault(image.group, (score, image))
    return found


def _chance(images: Sequence[TrainingImage], scores: Sequence[float], held: int) -> float:
    """Probability that held-out parts score so high against the others by chance (Mann and Whitney, 1947)."""
    from scipy.stats import mannwhitneyu

    ours, theirs = (_parts(images[place], scores[place]).values() for place in (slice(held), slice(held, None)))
    return float(mannwhitneyu([one for one, _ in ours], [one for one, _ in theirs], alternative="greater").pvalue)


def standing_for(
    images: Sequence[TrainingImage], scores: Sequence[float], rate: float, count: int
) -> list[TrainingImage]:
    """At most `count` images that set the same threshold as all of them, and stand for the others.

    Of more parts than that, the one at the threshold is among them, and those above and below it are spread evenly by
    score: a random draw would hold the one odd image of hundreds or not.
    """
    if len(images) <= count:
        return list(images)
    parts = [image for _, image in _parts(images, scores).values()]
    if len(parts) <= count:
        return parts
    rank, of_few = threshold_rank(rate, len(parts)), threshold_rank(rate, count)
    above = np.linspace(rank / of_few, rank, of_few)
    below = np.linspace(rank, len(parts), count - of_few + 1)[1:]
    return [parts[place - 1] for place in np.unique(np.concatenate([above, below]).round().astype(int))]


class _Raws:
    """What the engine says of each image, any number of times; maps are kept while they fit, the others made anew.

    Args:
        inspector: its calibration and its fusion weights do not matter.
        images: of `product`.
        product: what they show.
        own: for each the patches of the product's prompts that show the same part, which are left out; none where no
            prompt shows any.
        advance: called with 1 for each image when it is looked at for the first time.
    """

    def __init__(
        self,
        inspector: Inspector,
        images: list[Path | NDArray[np.uint8]],
        product: str,
        own: list[NDArray[np.bool_]],
        advance: Callable[[int], None],
    ) -> None:
        self._inspector, self._images, self._product, self._own = inspector, images, product, own
        self._advance, self._seen = advance, 0
        self._kept: list[RawMaps | Failure] = []
        self._most = int(_KEPT_BYTES / (2 * 4 * inspector.size**2))

    def __iter__(self) -> Iterator[RawMaps | Failure]:
        yield from self._kept
        known = len(self._kept)
        rest = maps_without(self._inspector, self._images[known:], self._product, self._own[known:])
        for number, raw in enumerate(rest, known):
            if number == self._seen:
                self._seen += 1
                self._advance(1)
            if len(self._kept) < self._most:
                self._kept.append(raw)
            yield raw


def _level(raws: Iterable[RawMaps | Failure], product: str) -> float:
    """What a normal pixel's reconstruction error rarely exceeds: the mean over images of its 99th percentile."""
    levels = [float(np.quantile(raw.reconstruction, LEVEL)) for raw in raws if not isinstance(raw, Failure)]
    if not levels:
        raise DataError(f"None of the calibration images of '{product}' can be read.", "Run: blemish check DATA")
    return max(float(np.mean(levels)), 1e-9)


def _weights(level: float, config: TrainConfig) -> FusionWeights:
    share, exponent = config.refiner_share if config.refines else 0.0, config.fusion_exponent
    return FusionWeights(
        reconstruction=(1 - share) ** (1 / exponent) / level,
        refiner=share ** (1 / exponent),
        evidence=config.evidence,
        exponent=exponent,
    )
