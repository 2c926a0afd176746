"""CutPasteByMask: a real defect cut out, turned and scaled, and put into another image (UniADC §3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from blemish.errors import SynthesisError
from blemish.synthesis.blending import BLENDINGS

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

CONTEXT = 0.25
"""What is cut around a region, on each side, as a share of its height and width."""

_SMALLEST = 256 / 512**2  # least area of a region that is cut, as a share of the image (the release: 256 px at 512)
_ANGLE, _SCALE = 90.0, 0.75  # degrees; natural logarithm of the factor
_LARGE = 0.6  # regions longer than this share of the image keep their size and direction
_JITTER = 0.025  # standard deviation of the shift of a defect that stays at its own place, as a share of the image
_TRIES = 20


@dataclass(frozen=True)
class Donor:
    """A real defect to cut from.

    Attributes:
        image: uint8 S×S×3.
        mask: bool S×S, the defects of one category, not empty.
        known: bool S×S, false where the image has defects of other categories.
        source: name of the image.
        position_bound: the defect occurs at its own place only.
    """

    image: Pixels
    mask: Mask
    known: Mask
    source: str
    position_bound: bool = False


@dataclass(frozen=True)
class _Cutting:
    pixels: Pixels
    mask: Mask
    known: Mask
    centre: tuple[float, float]


def transplant(
    base: Pixels,
    donor: Donor,
    foreground: Mask,
    rng: np.random.Generator,
    *,
    blendings: Sequence[str] = ("paste",),
    own_place: float = 0.0,
) -> tuple[Pixels, Mask, str]:
    """Put one connected region of a donor into an image.

    Args:
        base: uint8 S×S×3; it is not changed.
        donor: of the same size.
        foreground: bool S×S, where the region's centre may lie, unless it stays at its own place.
        rng: of all draws.
        blendings: names in `BLENDINGS`, one of which is drawn.
        own_place: probability that the region stays where it was, but for a small shift.

    Returns:
        The image, the bool S×S mask of the defect (never empty), and the blending's name.

    Raises:
        SynthesisError: no place was found.
    """
    blending = str(blendings[int(rng.integers(len(blendings)))])
    bound = donor.position_bound or rng.random() < own_place
    places = np.argwhere(foreground)
    for attempt in range(_TRIES):
        cutting = _cut(donor, rng)
        if not donor.position_bound:
            cutting = _turned(cutting, base.shape[0], rng)
        height, width = cutting.mask.shape
        if not cutting.mask.any():
            continue
        if bound or attempt == _TRIES - 1 or not len(places):
            centre = np.array(cutting.centre) + rng.normal(0, _JITTER * base.shape[0], 2)
        else:
            centre = places[int(rng.integers(len(places)))].astype(np.float64)
        top, left = (round(float(c - side / 2)) for c, side in zip(centre, (height, width), strict=True))
        top, left = (min(max(at, 0), base.shape[0] - side) for at, side in ((top, height), (left, width)))
        window = (slice(top, top + height), slice(left, left + width))
        mask = np.zeros(base.shape[:2], dtype=np.bool_)
        mask[window] = cutting.mask
        if not (bound or (mask & foreground).sum() >= 0.5 * mask.sum()) and attempt < _TRIES - 1:
            continue
        result = base.copy()
        result[window] = BLENDINGS[blending](base[window], cutting.pixels, cutting.mask, cutting.known)
        return result, mask, blending
    raise SynthesisError(
        f"No place for the defect of {donor.source} was found in {_TRIES} tries.", "Check its mask and the foreground."
    )


def one_region(donor: Donor, rng: np.random.Generator) -> Donor:
    """The same donor with one connected region of its defect; regions that are too small are left out while there are
    others."""
    labels, count = ndimage.label(donor.mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    large = np.flatnonzero(areas >= max(_SMALLEST * donor.mask.size, 0.05 * areas.max()))
    candidates = large if len(large) else np.array([int(areas.argmax())])
    region = labels == 1 + int(candidates[int(rng.integers(len(candidates)))])
    return replace(donor, mask=region, known=donor.known & ~(donor.mask & ~region))


def _cut(donor: Donor, rng: np.random.Generator) -> _Cutting:
    """One region with its context."""
    donor = one_region(donor, rng)
    rows, columns = np.nonzero(donor.mask)
    sides = []
    for at in (rows, columns):
        context = max(4, round(CONTEXT * (at.max() + 1 - at.min())))
        sides.append(slice(max(0, at.min() - context), min(donor.mask.shape[0], at.max() + 1 + context)))
    window = (sides[0], sides[1])
    centre = tuple((side.start + side.stop) / 2 for side in sides)
    return _Cutting(donor.image[window], donor.mask[window], donor.known[window], (centre[0], centre[1]))


def _turned(cutting: _Cutting, size: int, rng: np.random.Generator) -> _Cutting:
    """Mirrored; regions that leave room are turned and scaled too."""
    pixels, mask, known = cutting.pixels, cutting.mask, cutting.known
    for axis in (0, 1):
        if rng.random() < 0.5:
            pixels, mask, known = np.flip(pixels, axis), np.flip(mask, axis), np.flip(known, axis)
    angle = float(rng.uniform(-_ANGLE, _ANGLE))
    scale = float(np.exp(rng.uniform(-_SCALE, _SCALE)))
    if max(mask.shape) >= _LARGE * size:
        return _Cutting(np.ascontiguousarray(pixels), mask, known, cutting.centre)
    shape = (max(3, round(mask.shape[1] * scale)), max(3, round(mask.shape[0] * scale)))
    border = pixels[known & ~mask]
    fill = tuple(int(v) for v in (border if len(border) else pixels.reshape(-1, 3)).mean(axis=0))

    def moved(image: Image.Image, colour: object) -> Image.Image:
        small = image.resize(shape, Image.Resampling.BILINEAR)
        return small.rotate(angle, Image.Resampling.BILINEAR, expand=True, fillcolor=colour)  # type: ignore[arg-type]

    pixels = np.asarray(moved(Image.fromarray(np.ascontiguousarray(pixels)), fill))
    mask, known = (np.asarray(moved(Image.fromarray(one.astype(np.uint8) * 255), 0)) > 127 for one in (mask, known))
    if max(mask.shape) > size or not mask.any():  # a single pixel is lost when it is turned
        return cutting
    return _Cutting(pixels, mask, known, cutting.centre)
