"""What a painter works on: the picture, the mask with its soft edge, and lengths within it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from blemish.synthesis.perlin import fractal_perlin

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Field = NDArray[np.float32]
Colours = NDArray[np.float32]

_NOMINAL = 512
_MARGIN = 2


def margin(size: int) -> int:
    """How far beyond a mask the painter may change an image of this side, in pixels: its soft edge."""
    return max(1, round(_MARGIN * size / _NOMINAL))


@dataclass(frozen=True)
class Layer:
    """Paint: `colours` (S×S×3, grey levels) laid on with `weight` (S×S in [0, 1])."""

    colours: Colours
    weight: Field


@dataclass(frozen=True)
class Scene:
    """A picture to paint on.

    Attributes:
        picture: float32 S×S×3, grey levels 0 to 255.
        mask: bool S×S, where the defect is; not empty.
        product: bool S×S, where the product is; None: everywhere.
    """

    picture: Colours
    mask: Mask
    product: Mask | None = None

    @property
    def size(self) -> int:
        return int(self.mask.shape[0])

    @property
    def scale(self) -> float:
        """Pixels per pixel of an image of 512 a side."""
        return self.size / _NOMINAL

    @cached_property
    def depth(self) -> Field:
        """Distance to the edge of the mask in pixels, 0 outside; the border of the image is no edge."""
        padded = np.pad(self.mask, 1, mode="edge")
        if padded.all():
            return np.full(self.mask.shape, self.size / 2, dtype=np.float32)
        return np.asarray(distance_transform_edt(padded)[1:-1, 1:-1], dtype=np.float32)

    @cached_property
    def half_width(self) -> float:
        """Half of the mask's width where it is broad, in pixels, at least 1."""
        return max(float(np.percentile(self.depth[self.mask], 90)), 1.0)

    @cached_property
    def soft(self) -> Field:
        """The mask with a soft edge: at least a half inside, 0 beyond its margin."""
        reach = margin(self.size)
        blurred = gaussian_filter(self.mask.astype(np.float32), reach / 2, mode="nearest")
        if not self.mask.all():
            blurred[distance_transform_edt(~self.mask) > reach] = 0
        return np.asarray(np.where(self.mask, 0.5 + 0.5 * blurred, blurred), dtype=np.float32)

    @cached_property
    def surroundings(self) -> Colours:
        """The mask filled with the colours next to it, blurred; all of the picture blurred where it is all mask."""
        return self.filled_from(~self.mask)

    @cached_property
    def grain(self) -> Colours:
        """The fine texture of the picture: what a blur takes away."""
        deviation = (4 * self.scale, 4 * self.scale, 0)
        return np.asarray(self.picture - gaussian_filter(self.picture, deviation, mode="nearest"), dtype=np.float32)

    @cached_property
    def two_tones(self) -> tuple[Colours, Colours] | None:
        """The two colours of a picture that hardly has others, such as a circuit board's; else None."""
        dark, light = np.percentile(self.picture.reshape(-1, 3), (2, 98), axis=0).astype(np.float32)
        off = np.minimum(np.abs(self.picture - dark).max(axis=2), np.abs(self.picture - light).max(axis=2))
        distinct = float((light - dark).max()) > 60
        return (dark, light) if distinct and float((off < 12).mean()) > 0.93 else None

    def other_tone(self) -> Layer | None:
        """In a picture of two tones, paint of the one that the mask has less of; None for other pictures."""
        if self.two_tones is None:
            return None
        here = self.picture[self.mask].mean(axis=0)
        other = max(self.two_tones, key=lambda tone: float(np.abs(tone - here).max()))
        return Layer(np.broadcast_to(other, self.picture.shape), self.soft)

    def filled_from(self, known: Mask) -> Colours:
        """The picture in which every pixel has the colour of the nearest known ones, blurred."""
        source = self.picture
        if known.any():
            rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
            source = source[rows, columns]
        deviation = max(self.half_width / 2, 2 * self.scale)
        return np.asarray(gaussian_filter(source, (deviation, deviation, 0), mode="nearest"), dtype=np.float32)

    def noise(self, rng: np.random.Generator, pixels: float) -> Field:
        """Fractal noise in [0, 1] whose coarsest features are about `pixels` nominal pixels wide."""
        cells = int(np.clip(round(_NOMINAL / pixels), 1, max(self.size // 2, 1)))
        return fractal_perlin(self.size, cells, rng)

    def slope(self, angle: float) -> Field:
        """How much the floor of a pit in the mask faces a light from `angle` (radians): −1 to 1."""
        floor = gaussian_filter(self.mask.astype(np.float32), max(self.half_width / 3, 1), mode="nearest")
        down, across = np.gradient(floor)
        steepness = across * math.cos(angle) + down * math.sin(angle)
        peak = float(np.abs(steepness).max())
        return np.asarray(steepness / peak if peak > 0 else steepness, dtype=np.float32)

    def streaks(self, rng: np.random.Generator, angle: float, pixels: float) -> Field:
        """Noise in [0, 1] drawn out along `angle` (radians), about `pixels` nominal pixels across."""
        side = math.ceil(self.size * 1.45)
        cells = int(np.clip(round(1.45 * _NOMINAL / pixels), 2, max(side // 2, 2)))
        field = Image.fromarray(fractal_perlin(side, cells, rng, stretch=max(cells // 4, 1)))
        turned = field.rotate(90 - math.degrees(angle), Image.Resampling.BILINEAR)
        start = (side - self.size) // 2
        return np.asarray(turned)[start : start + self.size, start : start + self.size]


def step(values: NDArray[np.floating]) -> Field:
    """Smooth step from 0 at 0 to 1 at 1."""
    clipped = np.clip(values, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), dtype=np.float32)
