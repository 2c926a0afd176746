"""One image of a report, and its card: the same, encoded and small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.sample import Label, Sample
from blemish.evaluation.metrics.classification import NORMAL, true_class
from blemish.evaluation.report.overlay import COLOURS, OPACITY, Outline, colour_range, scaled, shades
from blemish.evaluation.report.palette import tone
from blemish.inspection import UNKNOWN_DEFECT, Inspection, Region
from blemish.regions import find_regions

Outcome = Literal["missed", "caught", "false alarm", "passed", "defective", "normal", "unknown product"]
"""The verdict against the truth; `defective` and `normal` where the truth is not known."""

MAX_HEAT_SIDE = 128
MAX_REGIONS = 20


@dataclass(frozen=True)
class Case:
    """One inspected image, with the truth where it is known.

    Attributes:
        inspection: what Blemish found.
        image: the picture, any mode with 8 bits per channel, any size; or what reads it, called only for the few
            cases that a report shows.
        product: its true product; None: take the inspection's.
        label: the truth, None when it is not known.
        defect: name of the true defect category.
        truth: bool, true on defective pixels, at any resolution; None when there is no mask.
    """

    inspection: Inspection
    image: Image.Image | Callable[[], Image.Image]
    product: str | None = None
    label: Label | None = None
    defect: str | None = None
    truth: NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls,
        sample: Sample,
        inspection: Inspection,
        image: Image.Image | Callable[[], Image.Image],
        truth: NDArray[np.bool_] | None = None,
    ) -> Case:
        """Pair a sample with its inspection and picture."""
        return cls(inspection, image, sample.product, sample.label, sample.defect, truth)

    @property
    def shown_product(self) -> str:
        """The true product where it is known, else the one that was found."""
        return self.product if self.product is not None else self.inspection.product

    @property
    def outcome(self) -> Outcome:
        if not self.inspection.known:
            return "unknown product"
        if self.label is None:
            return "defective" if self.inspection.defective else "normal"
        if self.label == "defective":
            return "caught" if self.inspection.defective else "missed"
        return "false alarm" if self.inspection.defective else "passed"

    @property
    def misnamed(self) -> bool:
        """Whether a defect was caught but called by another name than its own.

        A defect of a category that the model has not learned is rightly called `UNKNOWN_DEFECT`. Defects of several
        kinds or without a name have no right name, and neither has a part that was taken for another product.
        """
        found, truth = self.inspection, true_class(self.label == "defective", self.defect)
        if self.outcome != "caught" or truth in (None, NORMAL) or found.product != self.shown_product:
            return False
        expected = truth if truth in found.categories else UNKNOWN_DEFECT
        return bool(found.categories) and (found.category or UNKNOWN_DEFECT) != expected


@dataclass(frozen=True)
class Card:
    """What the report keeps of a case. All coordinates are pixels of the thumbnail.

    Attributes:
        serial: position of the case in the order of arrival; unique in a report.
        photo: the thumbnail, JPEG.
        heat: the heat map, PNG with opacity, to be stretched over the thumbnail; None for an unknown product, whose
            map has no meaning.
        size: width, height of the thumbnail.
        original_size: width, height of the original image.
        categories: names that the model has learned for the product that was found.
        category_scores: category → score in [0, 1].
        misnamed: whether it is a caught defect under a wrong name.
        findings: outlines of the regions.
        tones: their colours, see `palette.tone`.
        truth: outlines of the true defect.
        regions: the highest-scoring regions, in original pixels.
    """

    serial: int
    source: str
    product: str
    found_product: str
    label: Label | None
    defect: str | None
    category: str | None
    categories: tuple[str, ...]
    category_scores: dict[str, float]
    misnamed: bool
    outcome: Outcome
    score: float
    p_value: float
    similarity: float
    photo: bytes
    heat: bytes | None
    size: tuple[int, int]
    original_size: tuple[int, int]
    findings: tuple[Outline, ...]
    tones: tuple[int | None, ...]
    truth: tuple[Outline, ...]
    regions: tuple[Region, ...]
    region_count: int

    @classmethod
    def of(cls, case: Case, serial: int, side: int, pixel_threshold: float | None) -> Card:
        """Encode a case; `side` is the longer side of the thumbnail in pixels."""
        inspection = case.inspection
        image = case.image() if callable(case.image) else case.image
        scale = side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        fit = size[0] / inspection.size[0], size[1] / inspection.size[1]
        return cls(
            serial=serial,
            source=inspection.source or "",
            product=case.shown_product,
            found_product=inspection.product,
            label=case.label,
            defect=case.defect,
            category=inspection.category,
            categories=inspection.categories,
            category_scores=inspection.category_scores,
            misnamed=case.misnamed,
            outcome=case.outcome,
            score=float(inspection.score),
            p_value=float(inspection.p_value),
            similarity=float(inspection.similarity),
            photo=_jpeg(image, size),
            heat=_heat_png(inspection.anomaly_map, pixel_threshold) if inspection.known else None,
            size=size,
            original_size=inspection.size,
            findings=tuple(scaled(region.polygon, fit) for region in inspection.regions),
            tones=tuple(tone(region.category, inspection.categories) for region in inspection.regions),
            truth=_outlines(case.truth, size),
            regions=inspection.regions[:MAX_REGIONS],
            region_count=len(inspection.regions),
        )


def _jpeg(image: Image.Image, size: tuple[int, int]) -> bytes:
    buffer = BytesIO()
    image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=2).save(
        buffer, "JPEG", quality=80, optimize=True
    )
    return buffer.getvalue()


def _heat_png(anomaly_map: NDArray[np.float32], pixel_threshold: float | None) -> bytes:
    """The heat map as a PNG with a palette: a fraction of the size that four channels would take."""
    picture = Image.fromarray(shades(anomaly_map, *colour_range(anomaly_map, pixel_threshold)))
    picture.thumbnail((MAX_HEAT_SIDE, MAX_HEAT_SIDE), Image.Resampling.BILINEAR)
    indexed = Image.frombytes("P", picture.size, picture.tobytes())
    indexed.putpalette(COLOURS.tobytes())
    buffer = BytesIO()
    indexed.save(buffer, "PNG", optimize=True, transparency=OPACITY.tobytes())
    return buffer.getvalue()


def _outlines(mask: NDArray[np.bool_] | None, size: tuple[int, int]) -> tuple[Outline, ...]:
    if mask is None:
        return ()
    return tuple(region.polygon for region in find_regions(mask.astype(np.float32), mask, size))
