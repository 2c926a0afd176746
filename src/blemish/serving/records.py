"""What the store gives and takes. Times are milliseconds since 1970, UTC; ids are in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Decision = Literal["confirmed", "rejected"]
State = Literal["running", "finished", "failed", "cancelled", "discarded"]


@dataclass(frozen=True)
class Upload:
    """An image as it came.

    Attributes:
        content: the file's bytes.
        media_type: such as `image/png`, as its content says.
        size: width, height in pixels.
        name: what the client calls it; it is shown, and names no file.
    """

    content: bytes
    media_type: str
    size: tuple[int, int]
    name: str | None = None


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
        confirmed, false_alarms: of the latter, those that a review calls a defect, and those that it calls none.
        renamed: of the confirmed ones, those that the model and the review call by different names.
        missed: images that the model called normal and a review a defect.
    """

    day: int
    product: str | None
    category: str | None
    inspected: int
    defective: int
    confirmed: int
    false_alarms: int
    renamed: int
    missed: int


@dataclass(frozen=True)
class Filter:
    """Which inspections; None: all.

    Attributes:
        product, defective, category, model: as inspected.
        reviewed: whether there is a review that counts.
        decision, named: what it says.
    """

    product: str | None = None
    defective: bool | None = None
    category: str | None = None
    reviewed: bool | None = None
    model: str | None = None
    decision: Decision | None = None
    named: str | None = None


EVERYTHING = Filter()


@dataclass(frozen=True)
class StoredTeaching:
    """A model that learns from reviews.

    Attributes:
        parent: id of the model that learns.
        model: id of the one that came out of it; None: none did, or it was discarded.
        lesson: what it learns from, see `Lesson`.
        outcome: how both compare, see `compare`; of a failed one `error` and `remedy`; None while it runs.
    """

    id: str
    parent: str
    model: str | None
    state: State
    lesson: dict[str, Any]
    outcome: dict[str, Any] | None
    created: int
    ended: int | None
