"""Pseudo-anomalies that the painter draws: cracks, scratches, pits, stains and whatever else it has an appearance for.

OneNIP's pastes cover a patch; thin lines and faint steps of brightness are not among them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.data.priors.words import LIKENESSES
from blemish.errors import SynthesisError
from blemish.synthesis.config import PseudoAnomalyConfig
from blemish.synthesis.painter import paint
from blemish.synthesis.shapes import shapes_of

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def paint_defect(image: Pixels, rng: np.random.Generator, _: PseudoAnomalyConfig) -> tuple[Pixels, Mask]:
    """Paint one random appearance in one of the shapes that go with it.

    Args:
        image: S×S×3.
        rng: draws appearance, shape and place.

    Returns:
        The new image, and the S×S mask of all that changed; empty where the shape found no place.
    """
    size = image.shape[0]
    appearance, names = LIKENESSES[int(rng.integers(len(LIKENESSES)))]
    shapes = shapes_of(names)
    try:
        mask = shapes[int(rng.integers(len(shapes)))](size, np.ones((size, size), dtype=np.bool_), rng)
    except SynthesisError:
        return image, np.zeros((size, size), dtype=np.bool_)
    painted = paint(image, mask, appearance, rng)
    return painted, mask | (painted != image).any(axis=2)
