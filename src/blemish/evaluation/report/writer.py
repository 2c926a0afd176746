"""Writes a report while images stream by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blemish.calibration import Calibration
from blemish.evaluation.report.case import Case
from blemish.evaluation.report.gallery import Gallery
from blemish.evaluation.report.page import Report
from blemish.evaluation.report.tally import Tally, tallies_of
from blemish.evaluation.scorecard import Scorecard
from blemish.files import replaced

MAX_UNREADABLE = 500
"""Unreadable files that are listed by name; the others are counted."""


class ReportWriter:
    """A report in one HTML file that needs nothing else: no network, no other file.

    Takes any number of images: it keeps every score (8 bytes), and pictures of the best and worst cases only.

    Args:
        path: the HTML file; its folder is created, an existing file is replaced.
        title: shown at the top.
        calibration: gives thresholds, the scale of the heat maps and the promised false-alarm rates.
        examples: cases with pictures for the hardest and for the clearest defects of each category; lists over a
            whole product hold three times as many.
        picture_size: longer side of the pictures in pixels.
        details: how the results were made (model, command, seed …): name → JSON value.
    """

    def __init__(
        self,
        path: str | Path,
        title: str,
        *,
        calibration: Calibration | None = None,
        examples: int = 4,
        picture_size: int = 320,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        if examples < 1 or picture_size < 1:
            raise ValueError("examples and picture_size must be at least 1")
        self._path = Path(path)
        self._title = title
        self._calibrations = calibration.products if calibration else {}
        self._gallery = Gallery(examples, picture_size, self._calibrations)
        self._tallies: dict[str, Tally] = {}
        self._categories: dict[str, tuple[str, ...]] = {}
        self._unreadable: list[tuple[str, str]] = []
        self._unreadable_count = 0
        self._details = dict(details or {})

    def add(self, case: Case) -> None:
        """Take one image in."""
        inspection = case.inspection
        tally = self._tallies.setdefault(case.shown_product, Tally())
        tally.add(case.label, inspection.score, inspection.defective, inspection.known, inspection.category)
        if inspection.product == case.shown_product and inspection.categories:
            self._categories[inspection.product] = inspection.categories
        self._gallery.offer(case)

    def add_unreadable(self, source: str, reason: str) -> None:
        """Note a file that could not be inspected."""
        self._unreadable_count += 1
        if len(self._unreadable) < MAX_UNREADABLE:
            self._unreadable.append((source, reason))

    def finish(self, scorecard: Scorecard | None = None) -> Path:
        """Write the file, atomically, and return its path.

        With a scorecard its records give the charts, so that a saved evaluation can be shown without its images.

        Raises:
            BlemishError: the file cannot be written.
        """
        report = Report(
            title=self._title,
            tallies=tallies_of(scorecard.records) if scorecard else self._tallies,
            examples=self._gallery,
            calibrations=self._calibrations,
            categories=self._categories,
            unreadable=self._unreadable,
            unreadable_count=self._unreadable_count,
            scorecard=scorecard,
            details={**(scorecard.meta if scorecard else {}), **self._details},
        )
        with replaced(self._path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(report.render())
        return self._path
