"""Real defects to cut from, found among labelled examples."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from blemish.data.decode import IntensityRange, image_size, load_square
from blemish.data.defects import DefectExample, rasterise
from blemish.data.priors import CategoryPrior
from blemish.data.problem import Problem
from blemish.errors import ImageError
from blemish.synthesis.transplant import Donor

_KEPT = 16  # images in memory
_log = logging.getLogger(__name__)


class Donors:
    """The examples of every product and category whose defects are marked exactly; images are read at their first use.

    Args:
        examples: labelled defects; those that name no product show the only one there is.
        products: names of the products that defects are wanted of.
        size: side in pixels.

    Attributes:
        problems: which examples are left out: of other products, of no known one, or without an exact mask.
    """

    def __init__(self, examples: Iterable[DefectExample], products: Sequence[str], *, size: int) -> None:
        self._size = size
        self._found: dict[str, dict[str, list[DefectExample]]] = {}
        self._load = lru_cache(maxsize=_KEPT)(self._read)
        lost: dict[tuple[str, str], list[Path]] = {}
        for example in examples:
            product = example.product or (products[0] if len(products) == 1 else None)
            if product is None or product not in products:
                lost.setdefault(_stranger(product, products), []).append(example.path)
                continue
            for category in example.categories:
                if any(marking.exact for marking in example.markings if marking.category == category):
                    self._found.setdefault(product, {}).setdefault(category, []).append(example)
                else:
                    lost.setdefault(_inexact(product, category), []).append(example.path)
        self.problems: tuple[Problem, ...] = tuple(
            Problem(paths[0], "warning", what.format(count=_images(len(paths)), first=paths[0]), remedy)
            for (what, remedy), paths in lost.items()
        )

    def categories(self, product: str) -> tuple[str, ...]:
        """Names of the categories with an example, sorted."""
        return tuple(sorted(self._found.get(product, {})))

    def has(self, product: str, category: str) -> bool:
        """Whether there is an example."""
        return category in self._found.get(product, {})

    def counts(self) -> Counter[tuple[str, str]]:
        """Number of examples by product and category."""
        return Counter(
            {(product, name): len(own) for product, found in self._found.items() for name, own in found.items()}
        )

    def in_order(
        self, product: str, prior: CategoryPrior, rng: np.random.Generator, scale: IntensityRange | None = None
    ) -> Iterator[Donor]:
        """The examples of a category in random order; those that cannot be read are logged and passed over.

        Args:
            prior: the category; says whether it is bound to its place.
            scale: of deep grey values, as of the product's normal images.
        """
        examples = self._found.get(product, {}).get(prior.category, [])
        for index in rng.permutation(len(examples)):
            try:
                donor = self._load(examples[int(index)], prior.category, scale, prior.position_bound)
            except ImageError as error:
                _log.warning("example passed over: %s", error.message)
                continue
            if donor is not None:
                yield donor

    def _read(self, example: DefectExample, category: str, scale: IntensityRange | None, bound: bool) -> Donor | None:
        """None where the marked place lies outside the image. Raises ImageError."""
        image = load_square(example.path, self._size, scale)
        mask, other = np.zeros((2, self._size, self._size), dtype=np.bool_)
        for marking in example.markings:
            place = rasterise(marking, image_size(example.path), self._size)
            if place is None:
                continue
            if marking.category == category and marking.exact:
                mask |= place
            else:
                other |= place
        if not mask.any():
            _log.warning("example passed over: %s shows no '%s' where it is marked", example.path, category)
            return None
        return Donor(image, mask, ~other | mask, example.path.as_posix(), bound)


def _stranger(product: str | None, products: Sequence[str]) -> tuple[str, str]:
    known = ", ".join(products)
    what = "do not say which product they show" if product is None else f"show '{product}', which DATA does not have"
    what = what.replace("{", "{{").replace("}", "}}")
    return f"{{count}} with defects {what}, and were left out, such as {{first}}.", f"Say --product, one of: {known}."


def _inexact(product: str, category: str) -> tuple[str, str]:
    name = f"'{category}' of {product}".replace("{", "{{").replace("}", "}}")
    return f"{{count}} of {name} without an exact mask were left out, such as {{first}}.", "Draw masks or polygons."


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"
