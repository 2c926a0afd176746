"""What a reader gathers on its way through a folder of labelled defects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from blemish.data.decode import image_size
from blemish.data.defects.example import DefectExample, Marking, NormalExample
from blemish.data.layouts.listing import NORMAL_NAMES
from blemish.data.masks import read_mask
from blemish.data.problem import Problem, Severity
from blemish.data.sample import Box
from blemish.errors import DataError, ImageError


@dataclass
class _Entry:
    product: str | None
    group: str | None
    markings: list[Marking] = field(default_factory=list)


class Draft:
    """Markings by image, and the problems met; every image that it keeps could be opened.

    Args:
        product: what all images show, whatever their folders say; None: what the reader finds.
    """

    def __init__(self, product: str | None = None) -> None:
        self._problems: dict[Problem, None] = {}
        self._product = product
        self._entries: dict[Path, _Entry] = {}
        self._sizes: dict[Path, tuple[int, int] | None] = {}
        self._doubtful: set[Path] = set()

    def problem(self, path: Path, message: str, remedy: str = "", severity: Severity = "warning") -> None:
        """Note what was found and left out, once."""
        self._problems[Problem(path, severity, message, remedy)] = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that was noted, in that order."""
        return tuple(self._problems)

    @contextmanager
    def entry(self, file: Path, image: Path | None = None) -> Iterator[None]:
        """A block for one entry of `file`: a DataError becomes a problem, and the others go on.

        The image of an entry that failed is never taken for a normal one.
        """
        try:
            yield
        except DataError as error:
            self.problem(file, error.message, error.remedy)
            if image is not None:
                self._doubtful.add(image)

    def size(self, path: Path) -> tuple[int, int] | None:
        """Width and height of an image; None where it cannot be read, which is noted."""
        if path not in self._sizes:
            self._sizes[path] = None
            try:
                self._sizes[path] = image_size(path)
            except ImageError as error:
                self.problem(path, error.message, error.remedy)
        return self._sizes[path]

    def mark(
        self, path: Path, marking: Marking, where: str, *, product: str | None = None, group: str | None = None
    ) -> None:
        """Add a marking of an image.

        Boxes are cut to the image; a mask file that cannot be used leaves the category alone, and says so.

        Args:
            where: the entry, for messages.

        Raises:
            DataError: the category is no name of a defect, or box or polygon lie outside the image.
        """
        category = marking.category.strip()
        if not category or category.lower() in NORMAL_NAMES:
            raise DataError(f"{where} has the category '{category}', which names no defect.", "Name the defect.")
        size = self.size(path)
        if size is None:
            return
        marking = replace(marking, category=category)
        if marking.mask is not None:
            marking = self._with_usable_mask(path, marking, marking.mask, size)
        elif marking.box is not None:
            marking = replace(marking, box=_cut(marking.box, size, where))
        elif marking.polygon is not None:
            corners = np.asarray(marking.polygon)
            _cut((*corners.min(axis=0), *corners.max(axis=0)), size, where, thin=True)
        elif marking.runs is not None and marking.runs.empty:
            raise DataError(f"{where} has a mask without a defective pixel.", "Draw the defect or remove the entry.")
        entry = self._entry(path, product, group)
        if marking not in entry.markings:
            entry.markings.append(marking)

    def normal(self, path: Path, *, product: str | None = None, group: str | None = None) -> None:
        """Note an image that shows no defect."""
        if self.size(path) is not None:
            self._entry(path, product, group)

    def examples(self) -> tuple[DefectExample, ...]:
        """All images with markings, sorted by path."""
        return tuple(
            DefectExample(path, entry.product, tuple(entry.markings), entry.group)
            for path, entry in self._ordered()
            if entry.markings
        )

    def normals(self) -> tuple[NormalExample, ...]:
        """All images without, sorted by path."""
        return tuple(
            NormalExample(path, entry.product, entry.group)
            for path, entry in self._ordered()
            if not entry.markings and path not in self._doubtful
        )

    def _ordered(self) -> list[tuple[Path, _Entry]]:
        return sorted(self._entries.items(), key=lambda item: item[0].as_posix())

    def _entry(self, path: Path, product: str | None, group: str | None) -> _Entry:
        return self._entries.setdefault(path, _Entry(self._product or product, group))

    def _with_usable_mask(self, path: Path, marking: Marking, file: Path, size: tuple[int, int]) -> Marking:
        """The marking, without its mask where that cannot be read or is empty."""
        try:
            mask = read_mask(file)
        except ImageError as error:
            self.problem(file, f"{error.message} Of {path} only the category is used.", error.remedy)
            return replace(marking, mask=None)
        height, width = mask.shape
        if not mask.any():
            self.problem(file, f"The mask {file} is empty. Of {path} only the category is used.", "Draw the defect.")
            return replace(marking, mask=None)
        if (width, height) != size:
            turned = (height, width) == size
            message = f"The mask {file} has {width} × {height} pixels, its image {size[0]} × {size[1]}; it was scaled."
            remedy = "Turn it as its image is shown (EXIF)." if turned else "Draw it at the size of its image."
            self.problem(file, message, remedy)
        return marking


def _cut(box: Box, size: tuple[int, int], where: str, *, thin: bool = False) -> Box:
    """A box cut to the image; one with area, unless it may be thin.

    Raises:
        DataError: it has no area, or none of it lies in the image.
    """
    left, top, right, bottom = map(float, box)
    width, height = size
    if not thin and (left >= right or top >= bottom):
        raise DataError(f"{where} has a box without area.", "Correct or remove the entry.")
    before = right < 0 or bottom < 0 if thin else right <= 0 or bottom <= 0
    if before or left >= width or top >= height:
        raise DataError(f"{where} lies outside its image of {width} × {height} pixels.", "Correct or remove the entry.")
    return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
