"""What a demo product is: a way to draw it, whole or with a flaw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from blemish.procedural.palette import Colours


@dataclass(frozen=True)
class Flaw:
    """One defect to draw.

    Attributes:
        kind: one of the product's defects.
        rng: of the flaw alone; the part's own generator is not touched, so the rest of the part stays as it is.
    """

    kind: str
    rng: np.random.Generator


Draw = Callable[[int, np.random.Generator, Flaw | None], Colours]


@dataclass(frozen=True)
class Product:
    """One product of the demo.

    Attributes:
        name: of its folder.
        defects: names of its defect categories.
        draw: (size, rng, flaw) → size×size×3 in [0, 1], without the camera's blur and noise. The same generator state
            gives the same part, with or without the flaw.
    """

    name: str
    defects: tuple[str, ...]
    draw: Draw
