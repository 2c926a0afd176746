"""Two models on the same images: what the one calls otherwise than the other, and who is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from blemish.inspection import UNKNOWN_DEFECT, Failure, Inspection
from blemish.inspector import Inspector
from blemish.serving.lesson import Exhibit
from blemish.serving.pictures import map_png, overlay_png

Verdict = Literal["better", "worse", "unclear"]
_MOST_PICTURES = 60
_CLEAR = 0.1  # chance at the most that equal models differ so much


@dataclass(frozen=True)
class Judged:
    """What one model says of an image; `category` of a normal one is None."""

    verdict: str
    category: str | None
    score: float
    p_value: float

    @classmethod
    def of(cls, found: Inspection) -> Judged:
        return cls(found.to_dict()["verdict"], found.category, found.score, found.p_value)

    @property
    def called(self) -> str:
        """For people: the category, else the verdict."""
        return self.category or self.verdict


@dataclass(frozen=True)
class Difference:
    """One image under both models.

    Attributes:
        exhibit: the image and its review.
        old, new: what the models say.
        pictures: whether there are pictures `old-N.png` and `new-N.png`, N the place of this row.
    """

    exhibit: Exhibit
    old: Judged
    new: Judged
    pictures: bool

    @property
    def flipped(self) -> bool:
        """Whether verdict or category differ."""
        return (self.old.verdict, self.old.category) != (self.new.verdict, self.new.category)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Difference:
        return cls(Exhibit(**data["exhibit"]), Judged(**data["old"]), Judged(**data["new"]), data["pictures"])


@dataclass(frozen=True)
class Count:
    """One line of the comparison: of `total` images the models have so many.

    Attributes:
        name: of what is counted.
        verdict: of the new model; `unclear` where the images on which both differ could as well have fallen the other
            way (exact sign test, 10 %); None where more is neither better nor worse.
    """

    name: str
    total: int
    old: int
    new: int
    verdict: Verdict | None


def compare(
    old: Inspector, new: Inspector, measure: Sequence[Exhibit], files: Mapping[str, Path], pictures: Path
) -> list[Difference]:
    """Inspect images with both models; those that cannot be read are left out.

    Each is taken for the product for which the line took it.

    Args:
        old, new: the models.
        measure: the images.
        files: digest → image file.
        pictures: folder for overlays of what flipped.
    """
    rows: list[Difference] = []
    drawn = 0
    for exhibit, before, after in _inspected(old, new, measure, files):
        if isinstance(before, Failure) or isinstance(after, Failure):
            continue
        row = Difference(exhibit, Judged.of(before), Judged.of(after), pictures=False)
        if row.flipped and drawn < _MOST_PICTURES:
            content = files[exhibit.image].read_bytes()
            for name, model, one in (("old", old, before), ("new", new, after)):
                (pictures / f"{name}-{len(rows)}.png").write_bytes(_overlay(content, model, one))
            row = Difference(exhibit, row.old, row.new, pictures=True)
            drawn += 1
        rows.append(row)
    return rows


def counts(rows: Iterable[Difference]) -> list[Count]:
    """The comparison as a table; lines that count nothing are left out."""
    rows = list(rows)
    defects = [row for row in rows if row.exhibit.decision == "confirmed"]
    named = [row for row in defects if row.exhibit.category is not None]
    normal = [row for row in rows if row.exhibit.decision == "rejected"]
    rest = [row for row in rows if row.exhibit.decision is None]
    table = [
        _count("defects found", defects, _found, "more"),
        _count("defects named as people did", named, _named_alike, "more"),
        _count("defects called by another name", named, _misnamed, "fewer"),
        _count("false alarms", normal, _found, "fewer"),
        _count("findings among images without a review", rest, _found, None),
        _count("of these named", rest, _named, None),
    ]
    return [line for line in table if line.total]


def _found(_: Exhibit, judged: Judged) -> bool:
    return judged.verdict == "defective"


def _named(_: Exhibit, judged: Judged) -> bool:
    return judged.category not in (None, UNKNOWN_DEFECT)


def _named_alike(exhibit: Exhibit, judged: Judged) -> bool:
    return judged.category == exhibit.category


def _misnamed(exhibit: Exhibit, judged: Judged) -> bool:
    return judged.category not in (None, UNKNOWN_DEFECT, exhibit.category)


def _inspected(
    old: Inspector, new: Inspector, measure: Sequence[Exhibit], files: Mapping[str, Path]
) -> Iterator[tuple[Exhibit, Inspection | Failure, Inspection | Failure]]:
    for product in dict.fromkeys(one.product for one in measure):
        own = [one for one in measure if one.product == product]
        paths = [files[one.image] for one in own]
        named = product if product in old.products and product in new.products else None
        yield from zip(own, *(model.inspect_many(paths, product=named) for model in (old, new)), strict=True)


def _count(name: str, rows: list[Difference], holds: Callable[[Exhibit, Judged], bool], better: str | None) -> Count:
    pairs = [(holds(row.exhibit, row.old), holds(row.exhibit, row.new)) for row in rows]
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    verdict: Verdict | None = None
    if better is not None and gained != lost:
        verdict = "better" if (gained > lost) == (better == "more") else "worse"
        verdict = verdict if _chance(gained, lost) <= _CLEAR else "unclear"
    return Count(name, len(rows), sum(old for old, _ in pairs), sum(new for _, new in pairs), verdict)


def _chance(gained: int, lost: int) -> float:
    """That a fair coin falls at least as unequally, to either side."""
    flips = gained + lost
    tail = sum(math.comb(flips, count) for count in range(min(gained, lost) + 1))
    return float(min(1.0, 2 * tail / 2**flips))


def _overlay(content: bytes, model: Inspector, found: Inspection) -> bytes:
    names = model.categories.get(found.product, ())
    return overlay_png(content, map_png(found, model.calibration), found.to_dict(), names)
