"""What a model learns from reviews, and which images measure whether it is the better for it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from blemish.errors import ConfigError
from blemish.serving.records import Decision, Filter
from blemish.serving.reviewed import Reviewed, held_out, reviewed_images
from blemish.serving.store import Store
from blemish.serving.versions import Versions

Preset = Literal["paper", "fast", "accurate"]
_RECENT = 40  # images without a review that both models see


@dataclass(frozen=True)
class Exhibit:
    """An image in a lesson, and what is known of it.

    Attributes:
        inspection: id.
        image: digest.
        product: None: like none of the model's.
        decision, category: of its review; None where there is none.
    """

    inspection: str
    image: str
    product: str | None
    decision: Decision | None = None
    category: str | None = None

    @classmethod
    def of(cls, one: Reviewed) -> Exhibit:
        return cls(one.inspection, one.image, one.product, one.decision, one.category)


@dataclass(frozen=True)
class Lesson:
    """What a model learns, and how both models are compared.

    Attributes:
        preset: of `TeachConfig`.
        changes: values of it that differ from the preset's.
        learn: reviewed images that it learns from.
        measure: reviewed images that neither model has learned from, and some without a review.
    """

    preset: Preset
    changes: dict[str, Any]
    learn: tuple[Exhibit, ...]
    measure: tuple[Exhibit, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Lesson:
        learn, measure = (tuple(Exhibit(**one) for one in data[name]) for name in ("learn", "measure"))
        return cls(data["preset"], data["changes"], learn, measure)


@dataclass(frozen=True)
class Suggestion:
    """What a model could learn next, the newest review first.

    Attributes:
        teachable: images from which it can learn a category and has not yet.
        held: digests of those among them that had better measure.
        learned: how many it has learned from, it or the models that it comes from.
        nameless: defects of known products that people confirmed and did not name.
    """

    teachable: tuple[Reviewed, ...]
    held: frozenset[str]
    learned: int
    nameless: int


def suggest(store: Store, model: str, seen: Container[str]) -> Suggestion:
    """What `model` could learn; arguments as of `plan`."""
    images = reviewed_images(store)
    teachable = [one for one in images if one.teachable]
    nameless = sum(one.decision == "confirmed" and one.category is None and one.product is not None for one in images)
    learned = _learned(store, model, seen, [one.image for one in teachable])
    fresh = tuple(one for one in teachable if one.image not in learned)
    return Suggestion(fresh, held_out(teachable, learned=learned), len(learned), nameless)


def plan(
    store: Store,
    model: str,
    inspections: Sequence[str],
    preset: Preset,
    changes: dict[str, Any],
    seen: Container[str],
) -> Lesson:
    """A lesson for `model` from the reviews of some inspections; all other reviewed images measure.

    Args:
        store: with the reviews.
        model: id of the model that learns.
        inspections: ids of what it learns from.
        preset, changes: how.
        seen: `Inspector.seen` of that model: what trained, calibrated or taught it measures nothing.

    Raises:
        ConfigError: an inspection is not reviewed, names no defect, or is of no known product; or there is none.
    """
    images = reviewed_images(store)
    by_inspection = {one.inspection: one for one in images}
    chosen: dict[str, Reviewed] = {}
    for id in inspections:
        one = by_inspection.get(id)
        if one is None or not one.teachable:
            raise ConfigError(
                f"Nothing can be learned from the inspection '{id}'.",
                "Choose images of a known product whose newest review confirms and names a defect.",
            )
        chosen[one.image] = one
    if not chosen:
        raise ConfigError("There is nothing to learn from.", "Choose reviewed images.")
    recent = store.inspections(Filter(reviewed=False), limit=_RECENT)
    candidates = [Exhibit.of(one) for one in images]
    candidates += [Exhibit(one.id, one.image, one.result["product"]) for one in recent]
    taken = _learned(store, model, seen, [one.image for one in candidates]) | set(chosen)
    measure = []
    for exhibit in candidates:
        if exhibit.image not in taken:
            taken.add(exhibit.image)
            measure.append(exhibit)
    return Lesson(preset, changes, tuple(map(Exhibit.of, chosen.values())), tuple(measure))


def _learned(store: Store, model: str, seen: Container[str], images: Iterable[str]) -> set[str]:
    """Digests of images that a model knows: from lessons at the line, or from before it came there."""
    return _lessons(store.versions, model) | {one for one in images if store.blobs.fingerprint(one) in seen}


def _lessons(versions: Versions, model: str | None) -> set[str]:
    """Digests of the images that a model and those that it comes from have learned from at the line."""
    parents = {one.id: one.parent for one in versions.models()}
    lessons = {one.model: Lesson.from_dict(one.lesson) for one in versions.teachings() if one.model is not None}
    found: set[str] = set()
    while model is not None:
        if model in lessons:
            found.update(one.image for one in lessons[model].learn)
        model = parents[model]
    return found
