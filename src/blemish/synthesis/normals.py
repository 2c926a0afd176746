"""Normal training images that defects are put into, each with the place where a defect may be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from blemish.data.dataset import Dataset
from blemish.data.decode import IntensityRange, intensity_range, load_square
from blemish.data.sample import Sample
from blemish.errors import ConfigError, ImageError, SynthesisError
from blemish.procedural.seeding import generator
from blemish.synthesis.foreground import FOREGROUNDS, Foreground, Mask, Pixels, agreed

SMALLEST = 32
_TRIED = 8  # images that are tried for one defect
_VOTERS = 9  # images that decide whether a product fills its frame
_KEPT = 16  # images in memory
_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Normal:
    """One normal image.

    Attributes:
        source: name of its file.
        image: uint8 S×S×3.
        foreground: bool S×S, where the product is; not empty.
    """

    source: str
    image: Pixels
    foreground: Mask


class Normals:
    """The normal training images of a data set; an image that cannot be read is logged and passed over.

    Args:
        dataset: where they come from.
        size: side in pixels.
        seed: decides, with the product, which images say whether the product fills its frame.
        foreground: name in `FOREGROUNDS`, or a function; a product most of whose images fill the frame counts as whole
            in all.

    Raises:
        ConfigError: no such foreground, or the size is too small.
    """

    def __init__(self, dataset: Dataset, *, size: int, seed: int, foreground: str | Foreground) -> None:
        if isinstance(foreground, str) and foreground not in FOREGROUNDS:
            raise ConfigError(f"There is no foreground '{foreground}'.", f"Choose one of {', '.join(FOREGROUNDS)}.")
        if size < SMALLEST:
            raise ConfigError(f"The size is {size}.", f"Ask for at least {SMALLEST} pixels a side.")
        self.size = size
        self._dataset, self._seed = dataset, seed
        self._find = FOREGROUNDS[foreground] if isinstance(foreground, str) else foreground
        self._known = lru_cache(maxsize=None)(self._look_at)
        self._load = lru_cache(maxsize=_KEPT)(self._read)

    def intensity_range(self, product: str) -> IntensityRange | None:
        """The scale of the deep grey values of a product; None for 8-bit images."""
        return self._known(product)[2]

    def count(self, product: str) -> int:
        """How many images there are, readable or not."""
        return len(self._known(product)[0])

    def at(self, product: str, index: int) -> Normal:
        """Image `index`, or the next one that can be read.

        Raises:
            SynthesisError: none can.
        """
        count = self.count(product)
        for offset in range(count):
            try:
                return self._load(product, (index + offset) % count)
            except ImageError as error:
                _log.warning("normal image passed over: %s", error.message)
        raise _unreadable(product)

    def in_order(self, product: str, rng: np.random.Generator) -> Iterator[Normal]:
        """The readable images of a product in random order."""
        samples = self._known(product)[0]
        for index in rng.permutation(len(samples)):
            try:
                yield self._load(product, int(index))
            except ImageError as error:
                _log.warning("normal image passed over: %s", error.message)

    def put_into(
        self, product: str, category: str, rng: np.random.Generator, make: Callable[[Normal], T]
    ) -> tuple[Normal, T]:
        """What `make` makes of the first image, of up to eight in random order, that a defect fits.

        Raises:
            SynthesisError: `make` raises it for all of them, or none can be read.
        """
        failure: SynthesisError | None = None
        for tried, normal in enumerate(self.in_order(product, rng), start=1):
            try:
                return normal, make(normal)
            except SynthesisError as error:
                failure = error
            if tried == _TRIED:
                break
        if failure is None:
            raise _unreadable(product)
        message = f"'{category}' of {product} cannot be made: {failure.message}"
        raise SynthesisError(message, failure.remedy) from failure

    def _look_at(self, product: str) -> tuple[tuple[Sample, ...], Foreground, IntensityRange | None]:
        """The normal images of a product, how their foreground is found, and the scale of deep grey values."""
        samples = self._dataset.train_normals(product)
        scale = intensity_range(sample.path for sample in samples)
        voters = []
        for index in generator(self._seed, f"foreground {product}").permutation(len(samples))[:_VOTERS]:
            try:
                voters.append(load_square(samples[int(index)].path, self.size, scale))
            except ImageError:
                continue  # said when it is its turn
        return samples, agreed(voters, self._find), scale

    def _read(self, product: str, index: int) -> Normal:
        samples, foreground, scale = self._known(product)
        image = load_square(samples[index].path, self.size, scale)
        return Normal(samples[index].path.as_posix(), image, foreground(image))


def _unreadable(product: str) -> SynthesisError:
    return SynthesisError(f"No normal image of {product} could be read.", "Replace them.")
