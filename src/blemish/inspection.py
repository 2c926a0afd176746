"""The one result type that every surface speaks: Python, JSON lines, HTTP, database and report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.errors import ImageError

SCHEMA_VERSION = 1
UNKNOWN_PRODUCT = "unknown product"
UNKNOWN_DEFECT = "unknown defect"


@dataclass(frozen=True)
class Region:
    """One connected defect region, in original pixels after EXIF rotation.

    Attributes:
        box: left, top, right, bottom; right and bottom are exclusive.
        polygon: outline as (x, y) pairs, clockwise, not closed (the last point is not the first).
        area: in square original pixels.
        score: highest value of the anomaly map inside the region.
        category: name of the defect; `UNKNOWN_DEFECT` when none of the product's categories claims it with enough
            confidence; None until the model has learned categories of this product.
        category_scores: category → share of the region that it claims, in [0, 1], with sum ≤ 1 (the rest is claimed
            by none); empty until then.
    """

    box: tuple[int, int, int, int]
    polygon: tuple[tuple[float, float], ...]
    area: float
    score: float
    category: str | None = None
    category_scores: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "box": list(self.box),
            "polygon": [list(point) for point in self.polygon],
            "area": self.area,
            "score": self.score,
            "category": self.category,
            "category_scores": self.category_scores,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Region:
        left, top, right, bottom = data["box"]
        return cls(
            box=(left, top, right, bottom),
            polygon=tuple((x, y) for x, y in data["polygon"]),
            area=data["area"],
            score=data["score"],
            category=data.get("category"),
            category_scores=dict(data.get("category_scores", {})),
        )


@dataclass(frozen=True)
class Inspection:
    """What Blemish found in one image.

    Attributes:
        score: image score; comparable between images of one product only.
        p_value: share of normal calibration images that score at least as high, (1 + #{s_i ≥ s}) / (n + 1), in
            (0, 1]; 1.0 for an unknown product.
        defective: the verdict at `effective_rate`.
        requested_rate: false-alarm rate that the user asked for; None for an unknown product.
        effective_rate: the rate that follows from the number of calibration images, coarser where they are few.
        expected_rate: the rate to expect, coarser still where images that trained set the threshold as well.
        promised: whether they promise that rate, which images that the model knows, or altered copies, do not.
        product: name of the product whose prompt fits best, or `UNKNOWN_PRODUCT`.
        similarity: cosine similarity to that product's prompt, in [-1, 1].
        anomaly_map: float32, h×w at model resolution.
        mask: bool, h×w at model resolution; all false unless `defective`.
        size: width, height of the original image after EXIF rotation.
        regions: connected parts of `mask`, highest score first.
        category: what the defective area votes for: one of `categories` or `UNKNOWN_DEFECT`; None for a normal image
            and until the model has learned categories of this product.
        category_scores: category → score in [0, 1], with sum ≤ 1: the regions' scores weighted by area.
        categories: names that the model has learned for this product.
        category_map: int16, h×w: index into `categories` of each pixel of `mask`, −1 elsewhere and where the defect
            is unknown; None where `categories` is empty.
        source: where the image came from, as the caller named it.
    """

    score: float
    p_value: float
    defective: bool
    product: str
    similarity: float
    anomaly_map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    size: tuple[int, int]
    requested_rate: float | None = None
    effective_rate: float | None = None
    expected_rate: float | None = None
    promised: bool = False
    regions: tuple[Region, ...] = ()
    category: str | None = None
    category_scores: dict[str, float] = field(default_factory=dict)
    categories: tuple[str, ...] = ()
    category_map: NDArray[np.int16] | None = None
    source: str | None = None

    @property
    def known(self) -> bool:
        """False when the image is like none of the model's products; then there is no verdict."""
        return self.product != UNKNOWN_PRODUCT

    def map_at(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """The anomaly map upsampled bilinearly to `size` (width, height): float32, height×width."""
        image = Image.fromarray(np.ascontiguousarray(self.anomaly_map, dtype=np.float32))
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)

    def to_dict(self, *, map_path: str | None = None, mask_path: str | None = None) -> dict[str, Any]:
        """JSON-ready form: paths of maps, never pixels."""
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "product": self.product if self.known else None,
            "similarity": self.similarity,
            "score": self.score,
            "p_value": self.p_value,
            "verdict": ("defective" if self.defective else "normal") if self.known else UNKNOWN_PRODUCT,
            "defective": self.defective,
            "false_alarm_rate": {
                "requested": self.requested_rate,
                "effective": self.effective_rate,
                "expected": self.expected_rate,
                "promised": self.promised,
            },
            "category": self.category,
            "category_scores": self.category_scores,
            "size": list(self.size),
            "regions": [region.to_dict() for region in self.regions],
            "anomaly_map": map_path,
            "mask": mask_path,
        }


@dataclass(frozen=True)
class Failure:
    """An image that could not be inspected; the others go on.

    Attributes:
        source: where the image came from, as the caller named it.
        error: why.
    """

    source: str
    error: ImageError
