"""A shape of the library: drawn at a random place of the foreground, again and again until enough of it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from blemish.errors import SynthesisError
from blemish.synthesis.shapes.raster import Mask, closed

Centre = tuple[float, float]
Drawing = Callable[[int, Centre, np.random.Generator], Mask]
"""Draws one instance: (size, centre (x, y) in pixels, rng) → bool size×size, perhaps empty."""

TRIES = 100
_TWICE = 0.5


@dataclass(frozen=True)
class Shape:
    """One shape of the library (UniADC, section on the prior-guided masks).

    Attributes:
        name: such as `rectangle-large`.
        drawing: draws one instance of it.
        cover: least share of the foreground that it covers.
        in_twos: whether half of its draws hold two instances.
    """

    name: str
    drawing: Drawing
    cover: float
    in_twos: bool = False

    def __call__(self, size: int, foreground: Mask, rng: np.random.Generator) -> Mask:
        """One mask: bool size×size, within the foreground and never empty.

        Every instance is centred on a random pixel of the foreground.

        Args:
            size: side in pixels.
            foreground: bool size×size, where a defect may be.

        Raises:
            SynthesisError: the foreground is empty, or too little of the shape fits it in `TRIES` draws.
        """
        if foreground.shape != (size, size) or foreground.dtype != np.bool_:
            raise ValueError(f"expected a bool foreground of {size}×{size}, not {foreground.dtype} {foreground.shape}")
        places = np.flatnonzero(foreground)
        if not len(places):
            raise SynthesisError(
                f"The shape '{self.name}' has no place: the foreground is empty.", "Use the foreground 'none'."
            )
        best = 0.0
        for _ in range(TRIES):
            mask = self._draw(size, places, rng) & foreground
            share = np.count_nonzero(mask) / len(places)
            if share >= self.cover and share > 0:
                return mask
            best = max(best, share)
        raise SynthesisError(
            f"The shape '{self.name}' has no place: in {TRIES} draws it covered at most {best:.2%} of the foreground "
            f"({len(places) / size**2:.1%} of the image), and {self.cover:.2%} are needed.",
            "Choose other shapes or sizes, or the foreground 'none'.",
        )

    def _draw(self, size: int, places: np.ndarray[tuple[int], np.dtype[np.intp]], rng: np.random.Generator) -> Mask:
        count = 2 if self.in_twos and rng.random() < _TWICE else 1
        mask = np.zeros((size, size), dtype=np.bool_)
        for _ in range(count):
            row, column = divmod(int(rng.choice(places)), size)
            mask |= self.drawing(size, (float(column), float(row)), rng)
        return closed(mask, size)
