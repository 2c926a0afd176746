"""Paints a defect into a mask of an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from blemish.errors import SynthesisError
from blemish.synthesis.painter.pits import hole, missing
from blemish.synthesis.painter.prints import displacement, misprint
from blemish.synthesis.painter.scene import Layer, Mask, Pixels, Scene
from blemish.synthesis.painter.strokes import bright_stroke, dark_stroke
from blemish.synthesis.painter.surfaces import stain, texture, tone

Appearance = Callable[[Scene, float, np.random.Generator], Layer]
"""Makes the paint: (scene, strength from 1 upwards, rng) → layer."""

PAINTS: dict[str, Appearance] = {
    "dark-stroke": dark_stroke,
    "bright-stroke": bright_stroke,
    "hole": hole,
    "stain": stain,
    "missing": missing,
    "displacement": displacement,
    "misprint": misprint,
    "texture": texture,
    "tone": tone,
}
"""Every appearance of a priors file by its name."""

VISIBLE = 12.0
_TRIES = 6
_STRONGER = 1.3
_LAST_RESORT = 90.0


def paint(
    image: Pixels, mask: Mask, appearance: str, rng: np.random.Generator, *, product: Mask | None = None
) -> Pixels:
    """A copy of the image with a defect of this appearance in the mask.

    No pixel further than `margin(S)` from the mask changes: the paint has a soft edge. An image of equal channels
    keeps them equal. The mean change within the mask, of the channel that changes most, is at least `VISIBLE` grey
    levels: paint that shows too little is drawn again, stronger; where even that does not show (black on black), the
    place is made lighter or darker, whichever there is room for.

    Args:
        image: uint8 S×S×3.
        mask: bool S×S, not empty.
        appearance: one of `PAINTS`.
        product: bool S×S, where the product is; a missing part then shows the background. None: everywhere.

    Raises:
        SynthesisError: the mask is empty or the appearance unknown.
    """
    if image.dtype != np.uint8 or image.shape != (*mask.shape, 3) or mask.shape[0] != mask.shape[1]:
        raise ValueError(f"expected uint8 S×S×3 and bool S×S, not {image.dtype} {image.shape} and {mask.shape}")
    if appearance not in PAINTS:
        raise SynthesisError(f"There is no appearance '{appearance}'.", f"Choose one of {', '.join(PAINTS)}.")
    if not mask.any():
        raise SynthesisError("The mask to paint is empty.", "Draw another one.")
    scene = Scene(image.astype(np.float32), mask, product)
    grey = bool((image == image[:, :, :1]).all())
    for attempt in range(_TRIES):
        painted = _laid_on(image, PAINTS[appearance](scene, _STRONGER**attempt, rng), scene, grey)
        if change(image, painted, mask) >= VISIBLE:
            return painted
    away = scene.picture + np.where(scene.picture > 127, -_LAST_RESORT, _LAST_RESORT).astype(np.float32)
    return _laid_on(image, Layer(away, scene.soft), scene, grey)


def change(image: Pixels, painted: Pixels, mask: Mask) -> float:
    """Mean difference within the mask, of the channel that differs most, in grey levels."""
    difference = np.abs(painted[mask].astype(np.int16) - image[mask])
    return float(difference.max(axis=1).mean())


def _laid_on(image: Pixels, layer: Layer, scene: Scene, grey: bool) -> Pixels:
    inside = scene.soft > 0
    weight = np.clip(layer.weight[inside], 0, 1)[:, None]
    mixed = scene.picture[inside] * (1 - weight) + layer.colours[inside] * weight
    if grey:
        mixed = np.repeat(mixed.mean(axis=1, keepdims=True), 3, axis=1)
    painted = image.copy()
    painted[inside] = np.clip(np.rint(mixed), 0, 255)
    return painted
