"""Which images train, which calibrate, and which one is each product's prompt."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.data.dataset import Dataset
from blemish.data.decode import IntensityRange, image_size, load_square
from blemish.data.sample import Sample
from blemish.data.split import hold_out
from blemish.errors import DataError, ImageError
from blemish.inspection import Failure
from blemish.procedural.seeding import generator
from blemish.synthesis.alter import SHADING, alter
from blemish.tiling import Tiling

FEW = 16
"""A product with fewer normal training images learns from altered copies of them as well."""
_COPIES = 24
_MEASURED, _MOST_TILES = 100, 8


@dataclass(frozen=True)
class TrainingImage:
    """A normal image that trains or calibrates; images of one group show the same part.

    Attributes:
        path, product, group: of the image.
        copy: 0 for the image itself, else the number of an altered copy.
    """

    path: Path
    product: str
    group: str
    copy: int = 0

    def load(self, size: int, scale: IntensityRange | None, seed: int) -> NDArray[np.uint8]:
        """Pixels size×size×3; an altered copy depends on (seed, file name, number). Raises ImageError."""
        pixels = load_square(self.path, size, scale)
        if not self.copy:
            return pixels
        rng = generator(seed, f"altered copy {self.path.name}", self.copy)
        return alter(pixels, np.full(pixels.shape[:2], -1, dtype=np.int16), rng, shading=SHADING)[0]


def _of(sample: Sample) -> TrainingImage:
    return TrainingImage(sample.path, sample.product, sample.group or str(sample.path))


def _few(images: Sequence[TrainingImage], composed: bool) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Training and calibration images of a product that has few: all of them with copies, and all of them again.

    Where prompts are not composed, or there is one part only, further copies calibrate. Copies of the only part are
    parts of their own, so that an image is not compared with itself.
    """
    single = len({image.group for image in images}) == 1
    copies = [
        replace(image, copy=number, group=f"{image.group} {number}" if single else image.group)
        for number in range(1, 2 * _COPIES // len(images) + 2)
        for image in images
    ]
    added = max(0, _COPIES - len(images))
    train, held = [*images, *copies[:added]], copies[added:][:_COPIES]
    if composed and not single:
        return train, list(images)
    return train, [replace(image, group=f"{image.path} {image.copy}") for image in held]


def without_unreadable(dataset: Dataset) -> tuple[Dataset, list[Failure]]:
    """Leave out normal images that cannot be read, of products that have few: what is made of the others depends on it.

    A product of which none can be read stays as it is.
    """
    failures: list[Failure] = []
    normals = dataset.train_normals()
    for product in dict.fromkeys(sample.product for sample in normals):
        own = [sample.path for sample in normals if sample.product == product]
        found = [failure for failure in map(_failure, own if len(own) < FEW else ()) if failure]
        failures += found if len(found) < len(own) else []
    bad = {failure.source for failure in failures}
    return replace(dataset, samples=tuple(one for one in dataset.samples if str(one.path) not in bad)), failures


def _failure(path: Path) -> Failure | None:
    try:
        load_square(path, 1)
    except ImageError as error:
        return Failure(str(path), error)
    return None


@dataclass(frozen=True)
class TrainingSet:
    """Normal images by use.

    Attributes:
        products: sorted names.
        train: images the network is trained on.
        held: images kept for calibration. Those of a group that also trains are compared with the other groups alone.
    """

    products: tuple[str, ...]
    train: tuple[TrainingImage, ...]
    held: tuple[TrainingImage, ...]

    @classmethod
    def of(cls, dataset: Dataset, share: float, seed: int, *, composed: bool = False) -> TrainingSet:
        """Divide the normal training images; at least one of every product calibrates.

        A product with fewer than `FEW` images, or with images of one part only, trains with all of them and altered
        copies. It calibrates with all of them, each compared with the other parts; with further copies where that
        cannot be done.

        Args:
            dataset: other images in it are not looked at.
            share: to hold out, in (0, 1).
            seed: of the draw.
            composed: prompts are composed of patches, so that those of a part can be left out.

        Raises:
            DataError: there is no product.
        """
        normals = dataset.train_normals()
        products = tuple(sorted({sample.product for sample in normals}))
        if not products:
            raise DataError("The data set has no normal training images.", "Run: blemish check DATA")
        train: list[TrainingImage] = []
        held: list[TrainingImage] = []
        for product in products:
            own = [sample for sample in normals if sample.product == product]
            rest, kept = hold_out(own, share, seed)
            if len(own) < FEW or not kept:
                few, again = _few([_of(sample) for sample in own], composed)
                train += few
                held += again
            else:
                train += map(_of, rest)
                held += map(_of, kept)
        return cls(products, tuple(train), tuple(held))

    def originals(self, product: str) -> int | None:
        """How many images the calibration images of a product are altered copies of; None: they are no copies."""
        copies = [image for image in self.held if image.product == product and image.copy]
        return len({image.path for image in copies}) or None

    def compared(self, product: str) -> bool:
        """Whether the calibration images of a product are its training images, each compared with the others."""
        shown = {image.group for image in self.train if image.product == product}
        return any(image.group in shown for image in self.held if image.product == product)

    def own_patches(self, image: TrainingImage, patches: int) -> NDArray[np.bool_]:
        """Which patches of a product's prompt bank show the same part as `image`; they go round its training images."""
        own = np.array([self.train[row].group == image.group for row in self.indices(image.product)])
        return np.asarray(own[np.arange(patches) % len(own)])

    def indices(self, product: str) -> NDArray[np.int64]:
        """Rows of a product's training images."""
        return np.array([row for row, image in enumerate(self.train) if image.product == product])


def suitable_tiles(dataset: Dataset, size: int) -> int:
    """Tiles of `size` pixels per axis with which the network sees about every pixel of a usual image, at most 8.

    Images of less than 1.4 times that size stay whole.
    """
    samples = dataset.train_normals()
    sides = []
    for sample in samples[:: max(1, len(samples) // _MEASURED)]:
        with suppress(ImageError):
            sides.append(min(image_size(sample.path)))
    side = float(np.median(sides)) if sides else size
    tiling = Tiling(size)
    return int(np.clip(1 + round((side - size) / (size - tiling.overlap)), 1, _MOST_TILES))


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
