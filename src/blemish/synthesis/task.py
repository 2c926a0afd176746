"""What there is to make: so many images for every category of every product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blemish.data.dataset import Dataset
from blemish.data.priors import CategoryPrior, Priors
from blemish.errors import ConfigError, SynthesisError
from blemish.synthesis.donors import Donors
from blemish.synthesis.synthetic import Mode, Synthetic

AUTO = "auto"
MODES = (AUTO, "painter", "transplant", "diffusion")
"""What may be asked for. `auto`, per category: a transplant where there are examples, else diffusion where its weights
are given, else the painter."""

Key = tuple[str, str, int]
"""Product, category and number of an image."""


@dataclass(frozen=True)
class Task:
    """One image to make.

    Attributes:
        product, prior: what it shows.
        number: counts the images of one product and category, from 0.
        mode: how it is made.
    """

    product: str
    prior: CategoryPrior
    number: int
    mode: Mode = "painter"

    @property
    def key(self) -> Key:
        return self.product, self.prior.category, self.number


Maker = Callable[[Task], Synthetic]
"""A mode of synthesis: turns one task into one synthetic image."""


@dataclass(frozen=True)
class Plan:
    """All that is to be made.

    Attributes:
        tasks: in the order in which they are made.
        left_out: product and category of what the mode cannot make: transplants without an example.
    """

    tasks: tuple[Task, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def plan(
    dataset: Dataset,
    priors: Priors | None,
    count: int,
    *,
    donors: Donors | None = None,
    mode: str = AUTO,
    diffusion: bool = False,
) -> Plan:
    """The images to make: `count` for every category, from descriptions or examples, of every product.

    Args:
        diffusion: whether there are weights for it.

    Raises:
        ConfigError: the priors name a product that the data set does not have; no such mode; the mode lacks what it
            needs.
        SynthesisError: no product has both categories and normal training images.
    """
    if count < 1:
        raise ConfigError(f"The count is {count}.", "Ask for at least 1 image per category.")
    _check_mode(mode, donors, diffusion)
    if priors is not None:
        priors.check_products(dataset.products)
    tasks: list[Task] = []
    left_out: list[tuple[str, str]] = []
    for product in dataset.products:
        for prior in categories(product, priors, donors) if dataset.train_normals(product) else ():
            chosen = _mode(mode, donors is not None and donors.has(product, prior.category), diffusion)
            if chosen is None:
                left_out.append((product, prior.category))
            else:
                tasks += (Task(product, prior, number, chosen) for number in range(count))
    if not tasks and left_out:
        raise SynthesisError(
            "There is nothing to transplant: no category has an example with an exact mask.",
            "Draw masks, or choose another mode.",
        )
    if not tasks:
        raise SynthesisError(
            "There is nothing to make: no product with defects described or shown has normal training images.",
            "Add normal images of the products of the priors file and the examples.",
        )
    return Plan(tuple(tasks), tuple(left_out))


def categories(product: str, priors: Priors | None, donors: Donors | None) -> tuple[CategoryPrior, ...]:
    """What is known of the categories of a product: those described, then those of which there are examples alone."""
    described = {} if priors is None else priors.for_product(product)
    shown = () if donors is None else donors.categories(product)
    return (*described.values(), *(CategoryPrior(name) for name in shown if name not in described))


def _check_mode(mode: str, donors: Donors | None, diffusion: bool) -> None:
    if mode not in MODES:
        raise ConfigError(f"There is no mode '{mode}'.", f"Choose one of {', '.join(MODES)}.")
    if mode == "transplant" and donors is None:
        raise ConfigError("Transplants are cut from real defects, and none are given.", "Name some: --defects PATH.")
    if mode == "diffusion" and not diffusion:
        raise ConfigError(
            "Repainting by diffusion needs weights, and none are given.",
            "Name their folders: --stable-diffusion DIR --brushnet DIR.",
        )


def _mode(wanted: str, shown: bool, diffusion: bool) -> Mode | None:
    """How a category is made; None: not at all."""
    if wanted == "painter":
        return "painter"
    if wanted == "diffusion":
        return "diffusion"
    if shown:
        return "transplant"
    if wanted == "transplant":
        return None
    return "diffusion" if diffusion else "painter"
