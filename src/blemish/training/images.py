"""Which images train, which calibrate, and which one is each product's prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.data.dataset import Dataset
from blemish.data.sample import Sample
from blemish.data.split import hold_out
from blemish.errors import DataError
from blemish.procedural.seeding import generator


@dataclass(frozen=True)
class TrainingImage:
    """A normal image that trains or calibrates; images of one group show the same part."""

    path: Path
    product: str
    group: str


def _of(sample: Sample) -> TrainingImage:
    return TrainingImage(sample.path, sample.product, sample.group or str(sample.path))


@dataclass(frozen=True)
class TrainingSet:
    """Normal images by use.

    Attributes:
        products: sorted names.
        train: images the network is trained on.
        held: images kept for calibration; no group stands on both sides.
    """

    products: tuple[str, ...]
    train: tuple[TrainingImage, ...]
    held: tuple[TrainingImage, ...]

    @classmethod
    def of(cls, dataset: Dataset, share: float, seed: int) -> TrainingSet:
        """Divide the normal training images; at least one of every product calibrates.

        Raises:
            DataError: there is no product, or one has too few independent normal images for both uses.
        """
        normals = dataset.train_normals()
        products = tuple(sorted({sample.product for sample in normals}))
        if not products:
            raise DataError("The data set has no normal training images.", "Run: blemish check DATA")
        rest, held = hold_out(normals, share, seed)
        for product in products:
            for part, use in ((rest, "train on"), (held, "calibrate with")):
                if all(sample.product != product for sample in part):
                    count = sum(sample.product == product for sample in normals)
                    raise DataError(
                        f"Product '{product}' has {count} normal training image{'s' * (count != 1)} in one group: "
                        f"none is left to {use}.",
                        "Add normal images of other parts, at least 2 and better 20, or leave the product out.",
                    )
        return cls(products, *(tuple(map(_of, part)) for part in (rest, held)))

    def indices(self, product: str) -> NDArray[np.int64]:
        """Rows of a product's training images."""
        return np.array([row for row, image in enumerate(self.train) if image.product == product])


def choose_prompts(training: TrainingSet, means: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each product the training image whose mean feature is nearest to the product's average.

    Args:
        training: N training images.
        means: N×C mean standardised features.
    """
    rows = []
    for product in training.products:
        own = training.indices(product)
        distance = np.linalg.norm(means[own] - means[own].mean(axis=0), axis=1)
        rows.append(own[int(distance.argmin())])
    return np.array(rows)


def random_prompts(training: TrainingSet, seed: int) -> NDArray[np.int64]:
    """Any training image of each product."""
    return np.array(
        [generator(seed, f"stored prompt {product}").choice(training.indices(product)) for product in training.products]
    )


def draw_weights(training: TrainingSet, exponent: float) -> NDArray[np.float64]:
    """Probability of each training image; one of a product with n images has weight n^-exponent."""
    counts = {product: len(training.indices(product)) for product in training.products}
    weights = np.array([counts[image.product] ** -exponent for image in training.train])
    return np.asarray(weights / weights.sum())
