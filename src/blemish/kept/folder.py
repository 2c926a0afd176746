"""Things that a model folder keeps per product, read when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from blemish.errors import ImageError, ModelError

_Kept = TypeVar("_Kept")


class PerProduct(Mapping[str, _Kept]):
    """Product → what `read` makes of its folder, which is named by the product's number in the model.

    Args:
        folder: of all products.
        products: in the model's order.
        table: file without which a product has nothing.
    """

    def __init__(self, folder: Path, products: tuple[str, ...], table: str) -> None:
        places = {name: folder / str(index) for index, name in enumerate(products)}
        self._places = {name: place for name, place in places.items() if (place / table).is_file()}

    @abstractmethod
    def read(self, folder: Path) -> _Kept:
        """What one product has; any error of reading says that it is damaged."""

    def __getitem__(self, product: str) -> _Kept:
        """Raises KeyError when there is nothing, ModelError when it is damaged."""
        folder = self._places[product]
        try:
            return self.read(folder)
        except (ImageError, OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder} is damaged: {error}.", "Copy the model folder again.") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
