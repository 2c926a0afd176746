"""What there is to make: so many images for every category of every product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blemish.data.dataset import Dataset
from blemish.data.priors import CategoryPrior, Priors
from blemish.errors import ConfigError, SynthesisError
from blemish.synthesis.synthetic import Synthetic

Key = tuple[str, str, int]
"""Product, category and number of an image."""


@dataclass(frozen=True)
class Task:
    """One image to make.

    Attributes:
        product, prior: what it shows.
        number: counts the images of one product and category, from 0.
    """

    product: str
    prior: CategoryPrior
    number: int

    @property
    def key(self) -> Key:
        return self.product, self.prior.category, self.number


Maker = Callable[[Task], Synthetic]
"""A mode of synthesis: turns one task into one synthetic image."""


def plan(dataset: Dataset, priors: Priors, count: int) -> tuple[Task, ...]:
    """The images to make: `count` for every category of every product.

    Raises:
        ConfigError: the priors name a product that the data set does not have.
        SynthesisError: no product has both categories and normal training images.
    """
    if count < 1:
        raise ConfigError(f"The count is {count}.", "Ask for at least 1 image per category.")
    priors.check_products(dataset.products)
    tasks = tuple(
        Task(product, prior, number)
        for product in dataset.products
        if dataset.train_normals(product)
        for prior in priors.for_product(product).values()
        for number in range(count)
    )
    if not tasks:
        raise SynthesisError(
            "There is nothing to make: no product of the priors file has normal training images.",
            "Add normal images of the products that it names.",
        )
    return tasks
