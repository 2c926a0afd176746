"""Scores and verdicts of one product: all that charts and counts need of any number of images."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blemish.data.sample import Label
from blemish.evaluation.record import ImageRecord
from blemish.inspection import UNKNOWN_PRODUCT


@dataclass
class Scores:
    """Scores of images of one label, 8 bytes each, and how many of them were called defective."""

    values: array[float] = field(default_factory=lambda: array("d"))
    flagged: int = 0

    def add(self, score: float, defective: bool) -> None:
        self.values.append(score)
        self.flagged += defective

    def __len__(self) -> int:
        return len(self.values)

    @property
    def array(self) -> NDArray[np.float64]:
        return np.array(self.values)


@dataclass
class Tally:
    """One product's images by label, None where the truth is not known, and its defective images by name."""

    by_label: dict[Label | None, Scores] = field(default_factory=dict)
    named: Counter[str] = field(default_factory=Counter)
    unknown: int = 0

    def add(self, label: Label | None, score: float, defective: bool, known: bool, category: str | None = None) -> None:
        """Count one image; `known` is false when it is like none of the model's products."""
        if defective and category is not None:
            self.named[category] += 1
        self.by_label.setdefault(label, Scores()).add(score, defective)
        self.unknown += not known

    def __getitem__(self, label: Label | None) -> Scores:
        return self.by_label.get(label, Scores())

    @property
    def images(self) -> int:
        return sum(map(len, self.by_label.values()))

    @property
    def flagged(self) -> int:
        return sum(scores.flagged for scores in self.by_label.values())


def tallies_of(records: Iterable[ImageRecord]) -> dict[str, Tally]:
    """The tallies of an evaluation, by true product."""
    tallies: dict[str, Tally] = {}
    for record in records:
        known = record.predicted_product != UNKNOWN_PRODUCT
        tallies.setdefault(record.product, Tally()).add(
            record.label, record.score, record.defective, known, record.category
        )
    return tallies
