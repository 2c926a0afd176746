"""What the interface takes and answers, as JSON. Times are milliseconds since 1970, UTC."""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from blemish.data.decode import read_image
from blemish.errors import ConfigError, ImageError
from blemish.inspection import Failure
from blemish.serving.records import Decision, StoredInspection, StoredModel, StoredReview, Tally

_MASK_PIXELS = 16_000_000
_NAME = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"  # one line, not of blanks alone


class Problem(BaseModel):
    """Why a request was refused, and what to do."""

    error: str
    remedy: str = ""


class Review(BaseModel):
    """What somebody said of an inspection."""

    id: str
    inspection: str
    decision: Decision
    category: str | None
    corrected: bool = Field(description="Whether its mask was corrected.")
    reviewer: str | None
    created: int


class StoredAnswer(BaseModel):
    """An inspection: what `blemish inspect` prints, and where it is kept."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": []})

    id: str
    model: str
    created: int
    product: str | None
    score: float
    p_value: float
    verdict: str
    defective: bool
    category: str | None
    category_scores: dict[str, float]
    size: tuple[int, int]
    regions: list[dict[str, Any]]
    image: str
    anomaly_map: str
    mask: str
    overlay: str
    review: Review | None


class Refused(BaseModel):
    """An image that could not be inspected."""

    source: str
    error: str
    remedy: str


class Inspections(BaseModel):
    """One entry for each image, in their order."""

    inspections: list[StoredAnswer | Refused]


class InspectionPage(BaseModel):
    """Inspections, and `before` of the next page."""

    inspections: list[StoredAnswer]
    next: str | None


class StoredModelAnswer(BaseModel):
    """A model that the service may run."""

    id: str
    name: str
    parent: str | None
    created: int


class ModelList(BaseModel):
    """All models, and the one that inspects."""

    models: list[StoredModelAnswer]
    current: str


class TallyList(BaseModel):
    """Counts, the earliest day first."""

    tallies: list[Tally]


class ReviewRequest(BaseModel):
    """A review."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"inspection": "0193…", "decision": "confirmed", "category": "scratch", "reviewer": "Ada"}]
        },
    )

    inspection: str = Field(max_length=32)
    decision: Decision
    category: str | None = Field(default=None, max_length=200, pattern=_NAME)
    mask: str | None = Field(default=None, description="A corrected mask: PNG in base64, white where defective.")
    reviewer: str | None = Field(default=None, max_length=200, pattern=_NAME)

    def mask_png(self) -> bytes | None:
        """The corrected mask, written anew: nothing of a client's file is kept but which pixels are white.

        Raises:
            ConfigError: it is no picture.
        """
        if self.mask is None:
            return None
        try:
            content = base64.b64decode(self.mask, validate=True)
            pixels = read_image(content, max_pixels=_MASK_PIXELS)
        except (binascii.Error, ImageError) as error:
            raise ConfigError("The mask is no picture.", "Send a PNG in base64.") from error
        buffer = BytesIO()
        Image.fromarray(np.where(pixels[..., 0] > 127, 255, 0).astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()


def answer_of(one: StoredInspection) -> dict[str, Any]:
    """An inspection with links to its pictures."""
    here = f"/v1/inspections/{one.id}"
    pictures = {name: f"{here}/{name}" for name in ("image", "anomaly_map", "mask", "overlay")}
    review = None if one.review is None else review_of(one.review)
    return {**one.result, "id": one.id, "model": one.model, "created": one.created, **pictures, "review": review}


def failure_of(one: Failure) -> dict[str, Any]:
    """Why an image was not inspected."""
    return {"source": one.source, "error": one.error.message, "remedy": one.error.remedy}


def review_of(one: StoredReview) -> dict[str, Any]:
    """A review without the digest of its mask."""
    names = ("id", "inspection", "decision", "category", "reviewer", "created")
    return {**{name: getattr(one, name) for name in names}, "corrected": one.mask is not None}


def model_of(one: StoredModel) -> dict[str, Any]:
    """A model without its place on the disk."""
    return {"id": one.id, "name": one.name, "parent": one.parent, "created": one.created}
