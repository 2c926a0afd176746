"""What every engine answers, whatever runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blemish.config import BackboneConfig


@dataclass(frozen=True)
class EngineMaps:
    """Raw answer for a batch of B images at model size S, P products.

    Attributes:
        similarities: float32 B×P, cosine similarity to each product's prompt, in [-1, 1].
        products: int64 B, index of the product whose prompt was used.
        reconstruction: float32 B×S×S, ≥ 0.
        refiner: float32 B×S×S in [0, 1]; None without a refiner.
        categories: float32 B×K×s×s logits of all categories of the model at s ≤ S; None while there are none.
    """

    similarities: NDArray[np.float32]
    products: NDArray[np.int64]
    reconstruction: NDArray[np.float32]
    refiner: NDArray[np.float32] | None
    categories: NDArray[np.float32] | None = None


class Engine(Protocol):
    """Runs a trained network; knows neither thresholds nor product names."""

    def run(self, images: NDArray[np.uint8], product: int | None = None) -> EngineMaps:
        """Maps for uint8 B×S×S×3 images; `product` fixes the prompt, None chooses it per image."""
        ...

    def save(self, folder: Path, backbone: BackboneConfig) -> None:
        """Write the network's files to a model folder."""
        ...
