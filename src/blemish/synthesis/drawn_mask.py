"""Masks from descriptions: a shape of the library that goes with a category and fits the product."""

from __future__ import annotations

import numpy as np

from blemish.data.priors import CategoryPrior
from blemish.errors import SynthesisError
from blemish.synthesis.foreground import Mask
from blemish.synthesis.shapes import SHAPES


def drawn_mask(prior: CategoryPrior, foreground: Mask, rng: np.random.Generator) -> tuple[Mask, str]:
    """A mask S×S within a foreground S×S, and the name of its shape: the first in random order that fits.

    Raises:
        SynthesisError: no shape of the category fits.
    """
    shapes = [SHAPES[name] for name in prior.shape_names]
    failure: SynthesisError | None = None
    for index in rng.permutation(len(shapes)):
        shape = shapes[int(index)]
        try:
            return shape(foreground.shape[0], foreground, rng), shape.name
        except SynthesisError as error:
            failure = error
    assert failure is not None  # every category has a shape
    raise failure
