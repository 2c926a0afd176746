"""One image with labelled defects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blemish.data.defects.runs import Runs
from blemish.data.sample import Box, Sample

Point = tuple[float, float]


@dataclass(frozen=True)
class Marking:
    """One labelled defect of an image, as exactly as its place is known.

    At most one of mask, polygon, box and runs is set; none of them says that the defect is somewhere in the image. All
    coordinates are pixels of the image as one sees it, after EXIF rotation; (0, 0) is the upper left corner of the
    upper left pixel, whose centre is (0.5, 0.5).

    Attributes:
        category: name of the defect.
        mask: image file whose non-zero pixels are the defect.
        polygon: outline as (x, y) pairs, not closed.
        box: left, top, right, bottom; right and bottom are exclusive.
        runs: mask as run lengths, for shapes that are more than one outline. As a mask file, it is meant to be laid
            over the whole image even where its size is another.
    """

    category: str
    mask: Path | None = None
    polygon: tuple[Point, ...] | None = None
    box: Box | None = None
    runs: Runs | None = None

    @property
    def exact(self) -> bool:
        """Whether the shape of the defect is known, not only a box around it or that it is there."""
        return self.mask is not None or self.polygon is not None or self.runs is not None


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

    @classmethod
    def of(cls, sample: Sample) -> DefectExample | None:
        """The defect of a data set's sample: its mask, else its boxes, else only its name; None without a name."""
        if not sample.defective or sample.defect is None:
            return None
        return cls(sample.path, sample.product, markings_of(sample, sample.defect), sample.group)


@dataclass(frozen=True)
class NormalExample:
    """One image of which its annotations say that it shows no defect.

    Attributes:
        path: the image file.
        product: what it shows; None: the model finds out.
        group: images of one group show the same physical part; None: on its own.
    """

    path: Path
    product: str | None
    group: str | None = None


def markings_of(sample: Sample, category: str) -> tuple[Marking, ...]:
    """A sample's mask, else its boxes, else only that the defect is there; at least one marking."""
    if sample.mask is not None:
        return (Marking(category, mask=sample.mask),)
    return tuple(Marking(category, box=box) for box in sample.boxes) or (Marking(category),)
