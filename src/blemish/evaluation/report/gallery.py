"""The cases that a report shows, chosen while any number of images streams by."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from blemish.calibration import ProductCalibration
from blemish.evaluation.report.case import Card, Case

Choice = Literal["misnamed", "hardest", "clearest", "suspicious", "mixed up", "highest", "unknown"]


class Place(NamedTuple):
    """A list of examples: one choice within one product and defect category (for `highest` the one it was called)."""

    product: str
    choice: Choice
    defect: str | None = None


class Gallery:
    """Keeps the best and worst cases already encoded: `examples` of them for every product and defect category, and
    three times as many in lists that are not divided by category.

    With truth: the defects with the lowest and the highest scores, those that were called by a wrong name with the
    highest confidence, the normal images with the highest scores, and images whose product was not recognised.
    Without: the highest scores of each product and of each name, and the images of unknown products.
    """

    def __init__(self, examples: int, side: int, products: Mapping[str, ProductCalibration]) -> None:
        self._examples = examples
        self._side = side
        self._products = products
        self._serial = 0
        self._heaps: dict[Place, list[tuple[float, int, Card]]] = defaultdict(list)

    def offer(self, case: Case) -> None:
        """Encode the case if it belongs to the examples seen so far; of equal ones the first stays."""
        self._serial += 1
        card = None
        for place, rank in _places(case):
            heap = self._heaps[place]
            divided = place.choice in ("hardest", "clearest") or place.defect is not None
            room = self._examples if divided else 3 * self._examples
            if len(heap) == room and rank <= heap[0][0]:
                continue
            if card is None:
                card = Card.of(case, self._serial, self._side, self._pixel_threshold(case))
            entry = (rank, -self._serial, card)
            if len(heap) < room:
                heapq.heappush(heap, entry)
            else:
                heapq.heapreplace(heap, entry)

    def cards(self, product: str, *choices: Choice) -> list[Card]:
        """The examples of a product, highest score first, each once."""
        found = {
            card.serial: card
            for place, heap in self._heaps.items()
            if place.product == product and place.choice in choices
            for _, _, card in heap
        }
        return sorted(found.values(), key=lambda card: (-card.score, card.serial))

    def _pixel_threshold(self, case: Case) -> float | None:
        calibration = self._products.get(case.inspection.product)
        return calibration.pixel_threshold if calibration and calibration.n else None


def _places(case: Case) -> Iterator[tuple[Place, float]]:
    """Where a case may be shown, and how strong its claim is."""
    product, score, similarity = case.shown_product, float(case.inspection.score), float(case.inspection.similarity)
    if case.product is not None and case.inspection.product != case.product:
        yield Place(product, "mixed up"), -similarity
    elif not case.inspection.known:
        yield Place(product, "unknown"), -similarity
    elif case.label == "defective":
        if case.misnamed:
            yield Place(product, "misnamed"), max(case.inspection.category_scores.values(), default=0.0)
        yield Place(product, "hardest", case.defect), -score
        yield Place(product, "clearest", case.defect), score
    elif case.label == "normal":
        yield Place(product, "suspicious"), score
    else:
        yield Place(product, "highest"), score
        if case.inspection.category is not None:
            yield Place(product, "highest", case.inspection.category), score
