"""Pseudo-anomalies: normal images with an artificial defect and its mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.procedural.seeding import generator
from blemish.synthesis import subtle
from blemish.synthesis.config import PseudoAnomalyConfig
from blemish.synthesis.cutpaste import paste_patch, paste_scar
from blemish.synthesis.perlin import paste_texture
from blemish.synthesis.sources import ProceduralTextures, TextureSource

__all__ = ["PseudoAnomalies", "PseudoAnomalyConfig"]

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_Paste = Callable[[Pixels, np.random.Generator, PseudoAnomalyConfig], tuple[Pixels, Mask]]


def _paint_defect(image: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig) -> tuple[Pixels, Mask]:
    from blemish.synthesis.painted import paint_defect  # needs scipy, the other kinds do not

    return paint_defect(image, rng, config)


_SUBTLE: tuple[_Paste, ...] = (subtle.paste_self, subtle.change_tone, subtle.warp, subtle.blur, _paint_defect)


class PseudoAnomalies:
    """Draws one pseudo-anomaly per image; the draw depends on (seed, key) and the image alone.

    Args:
        size: side of the square images in pixels, at least 32.
        seed: of all draws.
        textures: for Perlin pastes; procedural ones unless given.
        config: probabilities and sizes, OneNIP's unless given.
    """

    def __init__(
        self,
        size: int,
        seed: int,
        textures: TextureSource | None = None,
        config: PseudoAnomalyConfig | None = None,
    ) -> None:
        if size < 32:
            raise ValueError(f"pseudo-anomalies need images of at least 32 px, not {size}")
        self.size, self.seed = size, seed
        self.textures = ProceduralTextures(size, seed) if textures is None else textures
        self.config = PseudoAnomalyConfig() if config is None else config

    def make(self, images: Pixels, keys: Sequence[int]) -> tuple[Pixels, Mask]:
        """One pseudo-anomaly in each image.

        Args:
            images: B×S×S×3 normal images; they are not changed.
            keys: B numbers ≥ 0; the same key and image give the same result in any batch.

        Returns:
            B×S×S×3 images and B×S×S masks of the changed places; no mask is empty, no pixel outside it differs.
        """
        expected = (len(keys), self.size, self.size, 3)
        if images.shape != expected or images.dtype != np.uint8:
            raise ValueError(f"expected uint8 images of shape {expected}, not {images.dtype} {images.shape}")
        anomalous = np.empty_like(images)
        masks = np.empty(images.shape[:3], dtype=np.bool_)
        for index, key in enumerate(keys):
            anomalous[index], masks[index] = self._draw(images[index], generator(self.seed, "pseudo-anomaly", int(key)))
        return anomalous, masks

    def _draw(self, image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
        """Draws of one kind until one is large and visible enough."""
        config = self.config
        paste = self._choose(rng)
        if config.keep_grey and (image == image[..., :1]).all():
            paste = _in_grey(paste)
        last = None
        for _ in range(config.redraws):
            anomalous, mask = paste(image, rng, config)
            area = int(np.count_nonzero(mask))
            if area >= config.minimum_area and _change(image, anomalous, mask) >= config.minimum_change:
                return anomalous, mask
            if area:
                last = anomalous, mask
        return paste_patch(image, rng, config) if last is None else last

    def _choose(self, rng: np.random.Generator) -> _Paste:
        config = self.config
        kind = int(np.searchsorted(np.cumsum(config.subtle_probabilities), rng.random(), side="right"))
        if kind < len(_SUBTLE):
            return _SUBTLE[kind]
        if rng.random() < config.cutpaste_probability:
            return paste_scar if rng.random() < config.scar_probability else paste_patch
        return self._paste_texture

    def _paste_texture(
        self, image: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig
    ) -> tuple[Pixels, Mask]:
        texture = self.textures[int(rng.integers(len(self.textures)))]
        return paste_texture(image, texture, rng, config)


def _in_grey(paste: _Paste) -> _Paste:
    """The same paste in luminance; grey pixels stay as they are."""

    def grey(image: Pixels, rng: np.random.Generator, config: PseudoAnomalyConfig) -> tuple[Pixels, Mask]:
        anomalous, mask = paste(image, rng, config)
        return np.asarray(Image.fromarray(anomalous).convert("L").convert("RGB")), mask

    return grey


def _change(image: Pixels, anomalous: Pixels, mask: Mask) -> float:
    """Mean absolute difference inside the mask, in grey levels."""
    return float(np.abs(image[mask].astype(np.int16) - anomalous[mask]).mean())
