"""One image with labelled defects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Point = tuple[float, float]


@dataclass(frozen=True)
class Marking:
    """One labelled defect of an image, as exactly as its place is known.

    At most one of mask, polygon and box is set; none of them says that the defect is somewhere in the image. All
    coordinates are pixels of the image as one sees it, after EXIF rotation.

    Attributes:
        category: name of the defect.
        mask: image file whose non-zero pixels are the defect.
        polygon: outline as (x, y) pairs, not closed.
        box: left, top, right, bottom; right and bottom are exclusive.
    """

    category: str
    mask: Path | None = None
    polygon: tuple[Point, ...] | None = None
    box: tuple[float, float, float, float] | None = None

    @property
    def exact(self) -> bool:
        """Whether the shape of the defect is known, not only a box around it or that it is there."""
        return self.mask is not None or self.polygon is not None


@dataclass(frozen=True)
class DefectExample:
    """One image with labelled defects.

    Attributes:
        path: the image file.
        product: what it shows; None: the model finds out.
        markings: its defects, at least one.
        group: images of one group show the same physical part; None: on its own.
    """

    path: Path
    product: str | None
    markings: tuple[Marking, ...]
    group: str | None = None

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of its defects, sorted, each once."""
        return tuple(sorted({marking.category for marking in self.markings}))
