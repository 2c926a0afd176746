"""What the interface takes and answers, as JSON. Times are milliseconds since 1970, UTC."""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, field_validator

from blemish.data.decode import read_image
from blemish.data.layouts.listing import NORMAL_NAMES
from blemish.errors import ConfigError, ImageError
from blemish.inspection import Failure
from blemish.naming import RESERVED_NAMES
from blemish.serving.compare import Count, Difference, counts
from blemish.serving.lesson import Lesson, Preset
from blemish.serving.records import (
    Decision,
    State,
    StoredInspection,
    StoredModel,
    StoredReview,
    StoredTeaching,
    Tally,
)

_MASK_PIXELS = 16_000_000
_NAME = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"  # one line, not of blanks alone
Name = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A product or category that a request names; empty or none: any."""
Id = Annotated[str | None, Query(max_length=32, pattern="^[0-9a-f]*$")]
"""What is asked for by its id."""


_EXAMPLE: dict[str, Any] = {
    "id": "019df3a1c0424e7f0c2b9d5a6e81b3f7",
    "model": "019df39f7d0a1b2c3d4e5f60718293a4",
    "created": 1795723200000,
    "product": "capsule",
    "score": 0.962,
    "p_value": 0.04,
    "verdict": "defective",
    "defective": True,
    "category": "crack",
    "category_scores": {"crack": 0.91, "dent": 0.04},
    "size": [256, 256],
    "regions": [
        {
            "box": [76, 89, 101, 113],
            "polygon": [[76.0, 95.0], [84.0, 89.0], [101.0, 104.0], [97.0, 113.0]],
            "area": 418.0,
            "score": 0.962,
            "category": "crack",
            "category_scores": {"crack": 0.91, "dent": 0.04},
        }
    ],
    "image": "/v1/inspections/019df3a1c0424e7f0c2b9d5a6e81b3f7/image",
    "anomaly_map": "/v1/inspections/019df3a1c0424e7f0c2b9d5a6e81b3f7/anomaly_map",
    "mask": "/v1/inspections/019df3a1c0424e7f0c2b9d5a6e81b3f7/mask",
    "overlay": "/v1/inspections/019df3a1c0424e7f0c2b9d5a6e81b3f7/overlay",
    "review": None,
}


class Problem(BaseModel):
    """Why a request was refused, and what to do."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"error": "The image is damaged or cut off.", "remedy": "Send it again."}]}
    )

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

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_EXAMPLE]})

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


class Judgement(BaseModel):
    """What one model says of an image."""

    verdict: str
    category: str | None
    score: float
    p_value: float


class ComparedImage(BaseModel):
    """One image under both models, and what its review says; `pictures` are null where they agree."""

    inspection: str
    product: str | None
    decision: Decision | None
    category: str | None
    old: Judgement
    new: Judgement
    flipped: bool
    pictures: dict[str, str] | None


class Progress(BaseModel):
    """Where a teaching is: `features`, `training`, `calibration` or `comparison`."""

    stage: str
    done: int
    total: int
    seconds_left: float | None


class Teaching(BaseModel):
    """A model that learns, or has learned, from reviews."""

    id: str
    state: State
    parent: str = Field(description="The model that learns.")
    model: str | None = Field(description="The model that came out of it.")
    inspections: list[str] = Field(description="What it learns from.")
    progress: Progress | None
    counts: list[Count] = Field(description="How the old and the new model compare.")
    images: list[ComparedImage]
    remarks: list[str]
    problem: Problem | None
    created: int
    ended: int | None


class TeachingList(BaseModel):
    """Teachings, the newest first."""

    teachings: list[Teaching]


class TeachingRequest(BaseModel):
    """Which inspections to learn from; their newest reviews name the defects."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"inspections": [_EXAMPLE["id"]], "preset": "fast"}]}
    )

    inspections: list[Annotated[str, Field(max_length=32)]] = Field(min_length=1, max_length=10_000)
    preset: Preset = "fast"
    steps: int | None = Field(default=None, ge=1, le=1_000_000, description="Optimiser steps; the preset's if null.")
    images: int | None = Field(
        default=None, ge=1, le=10_000, description="Synthetic images per category; the preset's if null."
    )

    def changes(self) -> dict[str, Any]:
        """What differs from the preset."""
        given = {"steps": self.steps, "images": self.images}
        return {name: value for name, value in given.items() if value is not None}


class TallyList(BaseModel):
    """Counts, the earliest day first."""

    tallies: list[Tally]


class ReviewRequest(BaseModel):
    """A review."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"inspection": _EXAMPLE["id"], "decision": "confirmed", "category": "scratch", "reviewer": "Ada"}
            ]
        },
    )

    inspection: str = Field(max_length=32)
    decision: Decision
    category: str | None = Field(default=None, max_length=200, pattern=_NAME)
    mask: str | None = Field(default=None, description="A corrected mask: PNG in base64, white where defective.")
    reviewer: str | None = Field(default=None, max_length=200, pattern=_NAME)

    @field_validator("category", "reviewer")
    @classmethod
    def _stripped(cls, name: str | None) -> str | None:
        return None if name is None else name.strip()

    @field_validator("category")
    @classmethod
    def _free(cls, name: str | None) -> str | None:
        if name is not None and name.lower() in {*RESERVED_NAMES, *NORMAL_NAMES}:
            raise ValueError(f"A category cannot be called '{name}'.")
        return name

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


def teaching_of(one: StoredTeaching, progress: dict[str, Any] | None) -> dict[str, Any]:
    """A teaching; `progress` of one that runs."""
    outcome = one.outcome or {}
    rows = [Difference.from_dict(row) for row in outcome.get("rows", ())]
    return {
        **{name: getattr(one, name) for name in ("id", "state", "parent", "model", "created", "ended")},
        "inspections": [exhibit.inspection for exhibit in Lesson.from_dict(one.lesson).learn],
        "progress": progress,
        "counts": counts(rows),
        "images": [_compared(one.id, number, row) for number, row in enumerate(rows)],
        "remarks": outcome.get("remarks", []),
        "problem": {"error": outcome["error"], "remedy": outcome["remedy"]} if "error" in outcome else None,
    }


def _compared(teaching: str, number: int, row: Difference) -> dict[str, Any]:
    here = f"/v1/teachings/{teaching}/rows/{number}"
    pictures = {side: f"{here}/{side}" for side in ("old", "new")} if row.pictures else None
    known = {name: getattr(row.exhibit, name) for name in ("inspection", "product", "decision", "category")}
    return {**known, "old": row.old, "new": row.new, "flipped": row.flipped, "pictures": pictures}
