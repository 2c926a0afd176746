"""Verdicts at a false-alarm rate that the user chose: split conformal prediction, one calibration per product.

Scores of held-out normal images and the score of a new normal image are exchangeable, so the rank of the new score
among them is uniform, whatever the distribution of scores (Vovk, Gammerman and Shafer, "Algorithmic Learning in a
Random World", 2005, section 4.2). With n images the rate comes in steps of 1 / (n + 1); the finest step means
"above every calibration score".

Near-duplicate images of one part are not exchangeable with an image of a new part. They count as one, with the
highest of their scores, so that n is the number of parts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from blemish.errors import ConfigError, ModelError
from blemish.files import replaced
from blemish.regions import label

DEFAULT_FALSE_ALARM_RATE = 0.01
# So many times the distance of the farthest calibration image is always near enough.
_NEARLY = 1.5
# How far below its peak the defect of an image reaches when no pixel passes the pixel threshold.
PEAK_SHARE = 0.75

# Two runtimes give one image scores that differ by rounding: scores as near as this share of them count as equal.
_EQUAL = 1e-5

_REMEDY = "Run: blemish calibrate MODEL ok-images/ with images of normal parts."


def _ascending(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted(float(value) for value in values))


Ascending = Annotated[tuple[FiniteFloat, ...], BeforeValidator(_ascending)]


class FusionWeights(BaseModel):
    """How the maps are joined: ((reconstruction · S_rec)^p + (refiner · S_ref)^p + (detection · S_det)^p)^(1/p).

    With p = 1 it is their weighted sum (OneNIP, equation 10). With less, pixels where several maps see a defect gain
    over those where one does: (√a + √b)² = a + b + 2√(ab).

    Attributes:
        reconstruction: weight of the reconstruction error.
        refiner: weight of the refiner.
        evidence: the refiner enters as −ln(1 − S_ref), which tells apart what its sigmoid saturates; else as S_ref.
        exponent: p, in (0, 1].
        detection: weight of UniADC's detection, which enters as `scoring.detection_evidence`; 0: it does not.
        former: the weights before there were categories; None: these are they.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reconstruction: FiniteFloat = 1.0
    refiner: FiniteFloat = 0.0
    evidence: bool = False
    exponent: float = Field(default=1, gt=0, le=1)
    detection: FiniteFloat = 0.0
    former: FusionWeights | None = None


class ProductCalibration(BaseModel):
    """What held-out normal images of one product say about new ones.

    Attributes:
        scores: image scores of the n calibration images, ascending; of several images of one part the highest.
        peaks: maxima of their anomaly maps, ascending; likewise.
        similarities: their cosine similarities to the product's prompt, ascending, in [-1, 1]; of one part the lowest.
        images: how many images there were, where some showed the same part; None: n.
        copied: how many training images these are altered copies of, for want of others; None: they are images of
            their own. Copies promise nothing.
        compared: they, or some of them, trained the model as well, and each was compared with the others alone. They
            promise nothing either, for the model knows them.
        fresh: of such scores those of the parts that the network did not learn from, ascending; none where it learned
            from no image of the product, or where that is not known any more.
        floor: nothing up to it is defective, whatever the calibration images say; None: they alone decide.
        false_alarm_rate: share of normal images that may be called defective, as requested, in (0, 1).
        unknown_margin: how many times the largest calibration distance an image may be from the prompt.
        smallest_distance: that largest distance counts as no less, in [0, 2]: a prompt that resembles the calibration
            images very closely must not turn ordinary variation into another product.
        farthest: no image at a greater distance is of the product, in [0, 2], unless calibration images are nearly as
            far.
        fusion: weights of the maps.
        intensity_range: lowest and highest value of 16-bit images of this product; None for 8-bit ones.
        product: the product's name, for messages; set by `Calibration`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: Ascending = ()
    peaks: Ascending = ()
    similarities: Ascending = ()
    images: int | None = Field(default=None, ge=1)
    copied: int | None = Field(default=None, ge=1)
    compared: bool = False
    fresh: Ascending = ()
    floor: FiniteFloat | None = None
    false_alarm_rate: float = Field(default=DEFAULT_FALSE_ALARM_RATE, gt=0, lt=1)
    unknown_margin: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    smallest_distance: float = Field(default=0.02, ge=0, le=2)
    farthest: float = Field(default=2, ge=0, le=2)
    fusion: FusionWeights = FusionWeights()
    intensity_range: tuple[int, int] | None = None
    product: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _same_images(self) -> ProductCalibration:
        if not len(self.scores) == len(self.peaks) == len(self.similarities):
            raise ValueError(
                f"scores, peaks and similarities must be of the same images, found {len(self.scores)}, "
                f"{len(self.peaks)} and {len(self.similarities)} values"
            )
        return self

    @property
    def n(self) -> int:
        """Number of calibration images, those of one part counted once."""
        return len(self.scores)

    @property
    def finest_rate(self) -> float:
        """The smallest false-alarm rate that n images can promise."""
        return 1 / (self.n + 1)

    @property
    def effective_rate(self) -> float:
        """The largest k / (n + 1) not above the request, at least the finest rate; see `promised_rate`."""
        return self._rank / (self.n + 1)

    @property
    def promised_rate(self) -> float | None:
        """The effective rate, where the calibration images promise it: there are some, which the model did not know."""
        return self.effective_rate if self.n and not self.copied and not self.compared else None

    @property
    def expected_rate(self) -> float:
        """The effective rate, or a coarser one that is all that the fresh images bear out.

        A network that learned from images finds less in them than in new ones. Of new images at most k / (m + 1) score
        higher than the k-th largest of m fresh scores; k is the first that is not above the threshold.
        """
        if not self.fresh:
            return self.effective_rate
        above = len(self.fresh) - bisect_right(self.fresh, self.threshold)
        return max(self.effective_rate, (above + 1) / (len(self.fresh) + 1))

    @property
    def threshold(self) -> float:
        """An image is defective when its score is above this: the k-th largest calibration score, at least the floor.

        Raises:
            ModelError: there are no calibration images.
        """
        self._require_images()
        return self._at_least_floor(self.scores[-self._rank])

    @property
    def pixel_threshold(self) -> float:
        """The same rule over the peaks: a normal image has a pixel above this at most at the effective rate.

        Raises:
            ModelError: there are no calibration images.
        """
        self._require_images()
        return self._at_least_floor(self.peaks[-self._rank])

    def p_value(self, score: float) -> float:
        """(1 + #{s_i ≥ score}) / (n + 1), in (0, 1]. Raises ModelError without calibration images."""
        self._require_images()
        return (1 + self.n - bisect_left(self.scores, _at_least(score))) / (self.n + 1)

    def defective(self, score: float) -> bool:
        """Whether p_value(score) ≤ effective_rate, and score > floor. Raises ModelError without calibration images."""
        return _at_least(score) > self.threshold

    def known(self, similarity: float) -> bool:
        """Whether an image with this cosine similarity to the prompt can be of this product.

        True without calibration images: then there is nothing to compare with.
        """
        if not self.similarities:
            return True
        largest = max(1 - self.similarities[0], self.smallest_distance)
        farthest = max(self.farthest, _NEARLY * largest)
        return 1 - similarity <= min(self.unknown_margin * largest, farthest)

    def mask(self, anomaly_map: NDArray[np.float32], defective: bool) -> NDArray[np.bool_]:
        """Defective pixels of one image.

        Args:
            anomaly_map: h×w.
            defective: the image's verdict.

        Returns:
            bool, h×w: all false unless `defective`; otherwise the pixels above the pixel threshold or, when there
            are none, the part around the peak that reaches 0.75 of it. Never empty for a defective image.
        """
        if not defective:
            return np.zeros(anomaly_map.shape, dtype=bool)
        above = np.asarray(anomaly_map > self.pixel_threshold, dtype=bool)
        if above.any():
            return above
        peak = float(anomaly_map.max())
        labels, _ = label(anomaly_map >= min(PEAK_SHARE * peak, peak))
        return np.asarray(labels == labels.flat[int(anomaly_map.argmax())], dtype=bool)

    def statement(self) -> str:
        """One sentence on the requested and the promised false-alarm rate."""
        requested = f"requested {percent(self.false_alarm_rate)}"
        if not self.n:
            return f"{requested}, none promised: no calibration images, hence no verdict"
        plural = "s" if self.n > 1 else ""
        images = f"{self.n} calibration image{plural}"
        if self.images not in (None, self.n):
            images = f"{self.images} calibration images of {self.n} part{plural}"
        if self.copied:
            source = f"{self.copied} training image{'s' * (self.copied > 1)}"
            return f"{requested}, none promised: set with {self.n} altered copies of {source}"
        if self.compared:
            about = f"{requested}, about {percent(self.expected_rate)} to be expected, none promised"
            known = f", of which {len(self.fresh)} did not train" if self.fresh else ""
            return f"{about}: {images.replace('calibration', 'normal')}, each compared with the others alone{known}"
        effective = f"{requested}, effective {percent(self.effective_rate)}"
        if self.effective_rate > self.false_alarm_rate:
            return f"{effective}: {images} can promise no finer rate; defective means above every calibration score"
        return f"{effective}, from {images}"

    def with_images(
        self,
        scores: Iterable[float],
        peaks: Iterable[float],
        similarities: Iterable[float],
        images: int | None = None,
        copied: int | None = None,
        compared: bool = False,
        fresh: Iterable[float] = (),
    ) -> ProductCalibration:
        """A copy with other calibration images; rate, fusion and intensity range stay."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        new = {"scores": scores, "peaks": peaks, "similarities": similarities, "images": images}
        return ProductCalibration(**fields | new | {"copied": copied, "compared": compared, "fresh": fresh})

    def with_rate(self, rate: float) -> ProductCalibration:
        """A copy with another requested false-alarm rate. Raises ConfigError unless 0 < rate < 1."""
        check_rate(rate)
        return self.model_copy(update={"false_alarm_rate": float(rate)})

    @property
    def _rank(self) -> int:
        return threshold_rank(self.false_alarm_rate, self.n)

    def _at_least_floor(self, value: float) -> float:
        return value if self.floor is None else max(value, self.floor)

    def _require_images(self) -> None:
        if not self.n:
            name = f"Product '{self.product}'" if self.product else "The product"
            raise ModelError(f"{name} has no calibration images, so no verdict can be given.", _REMEDY)


class Calibration(BaseModel):
    """The calibrations of all products of a model, kept in its `calibration.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    products: dict[str, ProductCalibration] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _name_products(self) -> Calibration:
        for name, product in self.products.items():
            self.products[name] = product.model_copy(update={"product": name})
        return self

    def __getitem__(self, product: str) -> ProductCalibration:
        """The calibration of one product. Raises ModelError when the model does not know it."""
        try:
            return self.products[product]
        except KeyError:
            known = ", ".join(sorted(self.products)) or "none"
            raise ModelError(
                f"The model has no product '{product}'. Its products: {known}.", "Name one of these, or train anew."
            ) from None

    def with_product(self, product: str, calibration: ProductCalibration) -> Calibration:
        """A copy in which one product is added or replaced."""
        return Calibration(products={**self.products, product: calibration})

    def with_rate(self, rate: float, product: str | None = None) -> Calibration:
        """A copy with another requested false-alarm rate for one product, or for all when none is named.

        Raises:
            ConfigError: not 0 < rate < 1.
            ModelError: the model has no such product.
        """
        names = list(self.products) if product is None else [product]
        return Calibration(products=self.products | {name: self[name].with_rate(rate) for name in names})

    def save(self, path: str | Path) -> None:
        """Write as JSON, atomically. Raises BlemishError when the file cannot be written."""
        with replaced(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read what `save` wrote. Raises ModelError when the file is missing or not a calibration."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.", _REMEDY) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"{path} is not a calibration file: {place} {first['msg']}.", _REMEDY) from error


def check_rate(rate: float) -> None:
    """Raises ConfigError unless 0 < rate < 1; long work asks before it starts."""
    if not 0 < rate < 1:
        raise ConfigError(f"A false-alarm rate of {rate} is not between 0 and 1.", "Give a share such as 0.01 for 1 %.")


def threshold_rank(rate: float, n: int) -> int:
    """Which of n scores, counted from the highest, is the threshold at a false-alarm rate in (0, 1)."""
    # The summand keeps 0.29 · 100 = 28.999… from losing a step to rounding.
    return min(max(int(rate * (n + 1) + 1e-9), 1), max(n, 1))


def _at_least(score: float) -> float:
    """The least that a score may be, but for rounding."""
    return score - _EQUAL * abs(score)


def percent(rate: float) -> str:
    """A rate in [0, 1] for people, two digits."""
    return f"{100 * rate:.2g} %"
