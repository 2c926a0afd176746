"""What the store gives and takes. Times are milliseconds since 1970, UTC; ids are in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Decision = Literal["confirmed", "rejected"]


@dataclass(frozen=True)
class Upload:
    """An image as it came.

    Attributes:
        content: the file's bytes.
        media_type: such as `image/png`, as its content says.
        size: width, height in pixels.
    """

    content: bytes
    media_type: str
    size: tuple[int, int]


@dataclass(frozen=True)
class StoredModel:
    """A model folder that the service may run; `parent` is the one it learned from."""

    id: str
    name: str
    folder: Path
    parent: str | None
    created: int


@dataclass(frozen=True)
class StoredReview:
    """What somebody said of an inspection.

    Attributes:
        decision: `confirmed` (there is a defect) or `rejected` (there is none).
        category: of a confirmed defect; None: not named.
        mask: digest of a corrected mask; None: as it was found.
        reviewer: who.
        undone: when it was taken back.
    """

    id: str
    inspection: str
    decision: Decision
    category: str | None
    mask: str | None
    reviewer: str | None
    created: int
    undone: int | None = None


@dataclass(frozen=True)
class StoredInspection:
    """An inspection, and the review that counts.

    Attributes:
        image, anomaly_map, mask: digests of stored files.
        result: `Inspection.to_dict()`.
    """

    id: str
    image: str
    model: str
    priority: float
    result: dict[str, Any]
    anomaly_map: str
    mask: str
    created: int
    review: StoredReview | None


@dataclass(frozen=True)
class Tally:
    """Counts of one day, product and category.

    Attributes:
        day: its beginning.
        product: None: like none of the model's.
        category: what the model called it; None: normal, or no names learned.
        inspected, defective: images, and those that the model called defective.
        confirmed, rejected: of the reviews that count.
    """

    day: int
    product: str | None
    category: str | None
    inspected: int
    defective: int
    confirmed: int
    rejected: int


@dataclass(frozen=True)
class Filter:
    """Which inspections; None: all."""

    product: str | None = None
    defective: bool | None = None
    category: str | None = None
    reviewed: bool | None = None
    model: str | None = None


EVERYTHING = Filter()
