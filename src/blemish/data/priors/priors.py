"""The priors file `defects.yaml`: product → category → what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from blemish.data.priors.names import APPEARANCES, FAMILIES, GROUPS, SHAPE_NAMES, SIZES, resolve_shapes
from blemish.data.priors.prior import CategoryPrior
from blemish.data.priors.tree import Branch, read_tree, suggestion
from blemish.errors import ConfigError
from blemish.files import replaced

EVERY_PRODUCT = "*"
KEYS = ("prompts", "negative_prompt", "shapes", "sizes", "position_bound", "appearance")
_SHAPE_WORDS = tuple(dict.fromkeys((*FAMILIES, *GROUPS, *SHAPE_NAMES)))


@dataclass(frozen=True)
class Priors:
    """What is known of the defects of some products.

    Attributes:
        products: product → category → what is known; the product "*" stands for every product.
    """

    products: Mapping[str, Mapping[str, CategoryPrior]]

    @classmethod
    def load(cls, path: str | Path) -> Priors:
        """Read a priors file.

        A category is a mapping with any of `KEYS`, or one description, or a list of them, or nothing; what is left out
        is inferred from its name and descriptions.

        Raises:
            ConfigError: the file cannot be read or something in it is not understood; names file and line.
        """
        root = read_tree(Path(path))
        if root is None or root.empty:
            raise ConfigError(f"{path} describes no defects.", "Write one with: blemish init-defects DATA.")
        products = {}
        for product, branch in root.items("products"):
            if branch.empty:
                raise branch.error(f"the product '{product}' has no categories", "Add some, or remove it.")
            products[product] = {name: _category(name, one) for name, one in branch.items("categories")}
            if not products[product]:
                raise branch.error(f"the product '{product}' has no categories", "Add some, or remove it.")
        if not products:
            raise ConfigError(f"{path} describes no defects.", "Write one with: blemish init-defects DATA.")
        return cls(products)

    def for_product(self, name: str) -> dict[str, CategoryPrior]:
        """The categories of one product: those of every product ("*"), then its own, which go before them."""
        return {**self.products.get(EVERY_PRODUCT, {}), **self.products.get(name, {})}

    def check_products(self, known: tuple[str, ...]) -> None:
        """Raises ConfigError when the file names a product that the data set does not have."""
        for product in self.products:
            if product != EVERY_PRODUCT and product not in known:
                raise ConfigError(
                    f"The priors file names the product '{product}', which the data set does not have.",
                    suggestion(product, known),
                )

    def save(self, path: str | Path) -> None:
        """Write a priors file that `load` reads back equal, atomically."""
        tree = {
            product: {name: _plain(one) for name, one in categories.items()}
            for product, categories in self.products.items()
        }
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)
        with replaced(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


def _category(name: str, branch: Branch) -> CategoryPrior:
    if not isinstance(branch.node, yaml.MappingNode):
        return CategoryPrior(name, prompts=branch.texts())
    given: dict[str, Any] = {}
    for key, value in branch.items("keys"):
        if key not in KEYS:
            raise value.error(f"'{key}' is no key of a category", suggestion(key, KEYS))
        if value.empty:
            continue
        given[key] = _value(key, value)
        if key == "shapes":
            shapes = value
    if "shapes" in given:
        try:
            resolve_shapes(given["shapes"], given.get("sizes", ()))
        except ValueError as error:
            raise shapes.error(f"the shape {error}", "Add a size that it has, or name the shape in full.") from error
    elif "sizes" in given:
        raise branch.error(f"'{name}' has sizes but no shapes", "Name shapes, such as line or ellipse.")
    return CategoryPrior(name, **given)


def _value(key: str, branch: Branch) -> object:
    if key == "prompts":
        return branch.texts()
    if key == "shapes":
        return branch.one_of(_SHAPE_WORDS, "the shape")
    if key == "sizes":
        return branch.one_of(SIZES, "the size")
    if key == "position_bound":
        return branch.truth()
    text = branch.text()
    if key == "appearance" and text not in APPEARANCES:
        raise branch.error(f"the appearance '{text}' is not known", suggestion(text, tuple(APPEARANCES)))
    return text


def _plain(prior: CategoryPrior) -> dict[str, Any] | None:
    """What `_category` reads back; keys with nothing to say are left out."""
    values = {key: getattr(prior, key) for key in KEYS}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value}
    return plain or None
