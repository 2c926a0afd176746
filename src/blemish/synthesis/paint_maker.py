"""The mode `painter`: shapes of the library painted procedurally on normal images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from blemish.data.dataset import Dataset
from blemish.data.decode import IntensityRange, intensity_range, load_square
from blemish.data.sample import Sample
from blemish.errors import ConfigError, ImageError, SynthesisError
from blemish.procedural.seeding import generator
from blemish.synthesis.foreground import FOREGROUNDS, Foreground, Mask, Pixels, agreed
from blemish.synthesis.painter import paint
from blemish.synthesis.shapes import SHAPES, Shape
from blemish.synthesis.synthetic import Provenance, Synthetic
from blemish.synthesis.task import Task

SMALLEST = 32
_SOURCES = 8  # normal images that are tried for one task
_VOTERS = 9  # normal images that decide whether a product fills its frame
_log = logging.getLogger(__name__)


class PaintMaker:
    """Paints the shapes of a category on random normal training images of its product.

    Args:
        dataset: where they come from.
        size: side of the images in pixels.
        seed: what is painted depends on (seed, product, category, number).
        foreground: name in `FOREGROUNDS`; a product most of whose images fill the frame counts as whole in all.
    """

    def __init__(self, dataset: Dataset, *, size: int, seed: int, foreground: str) -> None:
        if foreground not in FOREGROUNDS:
            raise ConfigError(f"There is no foreground '{foreground}'.", f"Choose one of {', '.join(FOREGROUNDS)}.")
        if size < SMALLEST:
            raise ConfigError(f"The size is {size}.", f"Ask for at least {SMALLEST} pixels a side.")
        self._dataset, self._size, self._seed = dataset, size, seed
        self._foreground = FOREGROUNDS[foreground]
        self._known = lru_cache(maxsize=None)(self._look_at)

    def __call__(self, task: Task) -> Synthetic:
        """The painted image of one task.

        Raises:
            SynthesisError: no normal image of the product is readable, or no shape fits any that was tried.
        """
        rng = generator(self._seed, f"paint {task.product}/{task.prior.category}", task.number)
        prompts = task.prior.prompts_for(task.product)
        prompt = prompts[int(rng.integers(len(prompts)))]
        appearance = task.prior.painted_as
        failure: SynthesisError | None = None
        for sample, image, product in self._sources(task.product, rng):
            try:
                shape, mask = self._mask(task, product, rng)
            except SynthesisError as error:
                failure = error
                continue
            painted = paint(image, mask, appearance, rng, product=product)
            provenance = Provenance(
                mode="painter",
                seed=self._seed,
                source=sample.path.as_posix(),
                prompt=prompt,
                method=appearance,
                shape=shape.name,
            )
            return Synthetic(painted, mask, task.product, task.prior.category, provenance)
        name = f"'{task.prior.category}' of {task.product}"
        if failure is None:
            raise SynthesisError(f"No normal image of {task.product} could be read.", "Replace them.")
        raise SynthesisError(f"{name} cannot be painted: {failure.message}", failure.remedy) from failure

    def _sources(self, product: str, rng: np.random.Generator) -> Iterator[tuple[Sample, Pixels, Mask]]:
        """Up to `_SOURCES` readable normal images in random order, each with its foreground."""
        samples, foreground, scale = self._known(product)
        found = 0
        for index in rng.permutation(len(samples)):
            sample = samples[int(index)]
            try:
                image = load_square(sample.path, self._size, scale)
            except ImageError as error:
                _log.warning("normal image passed over: %s", error.message)
                continue
            yield sample, image, foreground(image)
            if (found := found + 1) == _SOURCES:
                return

    def _mask(self, task: Task, product: Mask, rng: np.random.Generator) -> tuple[Shape, Mask]:
        """A shape of the category and its mask, the first in random order that fits."""
        shapes = [SHAPES[name] for name in task.prior.shape_names]
        failure: SynthesisError | None = None
        for index in rng.permutation(len(shapes)):
            shape = shapes[int(index)]
            try:
                return shape, shape(self._size, product, rng)
            except SynthesisError as error:
                failure = error
        assert failure is not None
        raise failure

    def _look_at(self, product: str) -> tuple[tuple[Sample, ...], Foreground, IntensityRange | None]:
        """The normal images of a product, how their foreground is found, and the scale of deep grey values."""
        samples = self._dataset.train_normals(product)
        scale = intensity_range(sample.path for sample in samples)
        voters = []
        for index in generator(self._seed, f"foreground {product}").permutation(len(samples))[:_VOTERS]:
            try:
                voters.append(load_square(samples[int(index)].path, self._size, scale))
            except ImageError:
                continue  # said when it is its turn
        return samples, agreed(voters, self._foreground), scale
