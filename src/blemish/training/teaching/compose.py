"""Training images for the discriminator: normal and defective images with synthetic defects in them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.config import TeachConfig
from blemish.data.priors import CategoryPrior
from blemish.errors import SynthesisError
from blemish.kept.examples import KeptExamples
from blemish.kept.images import KeptImages
from blemish.procedural.seeding import generator
from blemish.synthesis.alter import alter
from blemish.synthesis.foreground import FOREGROUNDS, Foreground, agreed
from blemish.synthesis.painter import paint
from blemish.synthesis.shapes import SHAPES
from blemish.synthesis.transplant import Donor, transplant

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int16]
NO_ROW = -1
_TWO = 0.25  # share of the images with a synthetic defect that have two
_VOTERS = 9
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Composed:
    """One training image.

    Attributes:
        image: uint8 S×S×3.
        labels: int16 S×S, −1 or the number of a category among the product's.
        row: place of its normal image among the product's training images, `NO_ROW` where it is none of them.
    """

    image: Pixels
    labels: Labels
    row: int


class Composer:
    """Makes the training images of one product; image k depends on (seed, product, k) alone.

    Args:
        product: its name.
        categories: what is known of each, in the model's order.
        normals: to start from.
        examples: to start from and to cut defects from.
        config: how many, and how.
    """

    def __init__(
        self,
        product: str,
        categories: Sequence[CategoryPrior],
        normals: KeptImages,
        examples: KeptExamples,
        config: TeachConfig,
    ) -> None:
        self._product, self._categories, self._config = product, categories, config
        self._normals, self._examples = normals, examples
        self._donors = [self._donors_of(number, prior) for number, prior in enumerate(categories)]
        find = FOREGROUNDS[config.foreground]
        self._foreground: Foreground = agreed(list(normals.train[:_VOTERS]), find)

    @property
    def real(self) -> int:
        """How many images are real: examples, and as many normal ones as there are, up to as many as synthetic ones."""
        return len(self._examples.images) + min(len(self._normals.train), self._config.images)

    def __len__(self) -> int:
        return self.real + self._config.images * len(self._categories)

    def __getitem__(self, number: int) -> Composed:
        """Examples first, then normal images, then synthetic ones."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        examples = len(self._examples.images)
        if number < examples:
            return Composed(self._examples.images[number], self._examples.labels[number], NO_ROW)
        if number < self.real:
            return self._normal(number - examples)
        return self._synthetic(number - self.real)

    def _normal(self, index: int) -> Composed:
        image = self._normals.train[index]
        return Composed(image, np.full(image.shape[:2], -1, dtype=np.int16), self._normals.rows[index])

    def _synthetic(self, number: int) -> Composed:
        rng = generator(self._config.seed, f"compose {self._product}", number)
        base = self._base(rng)
        image, labels = base.image.copy(), base.labels.copy()
        defects = 0 if rng.random() < self._config.normal_share else 1 + (rng.random() < _TWO)
        for extra in range(defects):
            # categories in turn, so that all come equally often
            category = (number + extra * (1 + number // len(self._categories))) % len(self._categories)
            try:
                image, mask = self._defect(image, category, rng)
            except SynthesisError as error:
                _log.warning("'%s' of '%s': %s", self._categories[category].category, self._product, error.message)
                continue
            labels[mask] = category
        if self._config.alter:
            image, labels = alter(image, labels, rng)
        return Composed(image, labels, base.row)

    def _base(self, rng: np.random.Generator) -> Composed:
        examples = len(self._examples.images)
        if examples and (not len(self._normals.train) or rng.random() < self._config.defective_bases):
            return self[int(rng.integers(examples))]
        return self._normal(int(rng.integers(len(self._normals.train))))

    def _defect(self, image: Pixels, category: int, rng: np.random.Generator) -> tuple[Pixels, NDArray[np.bool_]]:
        """Put a defect of a category into an image: mostly a transplant where there are examples, else painted."""
        donors, prior, config = self._donors[category], self._categories[category], self._config
        foreground = self._foreground(image)
        if donors and (not prior.paintable or rng.random() >= config.painted):
            donor = donors[int(rng.integers(len(donors)))]
            result, mask, _ = transplant(
                image, donor, foreground, rng, blendings=config.blending, own_place=config.own_place
            )
            return result, mask
        shapes = prior.shape_names
        mask = SHAPES[shapes[int(rng.integers(len(shapes)))]](image.shape[0], foreground, rng)
        return paint(image, mask, prior.painted_as, rng, product=foreground), mask

    def _donors_of(self, number: int, prior: CategoryPrior) -> list[Donor]:
        donors = []
        for image, labels, source in zip(
            self._examples.images, self._examples.labels, self._examples.sources, strict=True
        ):
            mask = labels == number
            if mask.any():
                known = (labels < 0) | mask
                donors.append(Donor(image, mask, known, source, prior.position_bound))
        return donors


def priors_of(names: Sequence[str], described: Mapping[str, CategoryPrior]) -> list[CategoryPrior]:
    """What is known of each category: its description, or its name alone."""
    return [described.get(name) or CategoryPrior(category=name) for name in names]
