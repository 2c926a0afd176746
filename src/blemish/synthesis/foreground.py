"""Where a product is in its image: a defect is drawn there and not on the table behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import (
    binary_closing,
    binary_dilation,
    binary_erosion,
    binary_fill_holes,
    binary_opening,
    gaussian_gradient_magnitude,
    label,
)

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Field = NDArray[np.float32]

Foreground = Callable[[Pixels], Mask]
"""Takes a uint8 S×S×3 image, gives a bool S×S mask that is never empty."""

SMALLEST = 0.05  # below this share of the image the whole image counts (UniADC)
_SIDE = 192  # the image is looked at no larger than this
_RING = 0.03  # width of the border from which the background is learnt, as a share of the side
_PLAIN = 0.88  # least share of the border that one smooth surface must explain
_NOISE = (2.0, 6.0)  # grey levels: floor of the background's noise, and what is too rough to be a background
_APART = (5.0, 14.0)  # a pixel is not background when it is off by so many noises, and at least so many levels
_CONTRAST = 28.0  # least median difference, in levels, of a product from its background
_GROUND = 0.15  # least share of the image that the background takes
_PART = 0.05  # pieces smaller than this share of the largest are dropped
_EDGE = 0.03  # greatest share of the image's outermost pixels that the product takes: it lies in the frame
_ONE = 0.6  # least share of the product that is one piece: a product is a thing, not a pattern
_THRESHOLDS = 12  # of which the one with the sharpest outline is taken


def no_foreground(image: Pixels) -> Mask:
    """The whole image."""
    return np.ones(image.shape[:2], dtype=np.bool_)


def auto_foreground(image: Pixels) -> Mask:
    """The product before a plain background, or the whole image where it fills the frame.

    A smooth surface (quadratic in x and y, per channel) is fitted to the border of the image and extended inwards; the
    product is what differs from it, holes filled, without small pieces; by how much it has to differ is chosen so that
    the outline is sharpest, which leaves shadows out. The whole image counts when the border is not plain, and when
    what differs is less than 5 % of the image, hardly differs, is scattered, runs out of the frame, or leaves hardly
    any background.

    Args:
        image: uint8 S×S×3.

    Returns: bool S×S, never empty.
    """
    product = _product(_small(image))
    if product is None:
        return no_foreground(image)
    height, width = image.shape[:2]
    whole = Image.fromarray(product.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(np.asarray(whole) > 127)


FOREGROUNDS: dict[str, Foreground] = {"none": no_foreground, "auto": auto_foreground}
"""Foregrounds by their name on the command line."""


def agreed(images: Iterable[Pixels], foreground: Foreground = auto_foreground) -> Foreground:
    """One decision for a whole product: `foreground`, unless most of the images are whole; then none.

    Args:
        images: some normal images of the product.
    """
    votes = [bool(foreground(image).all()) for image in images]
    return no_foreground if sum(votes) * 2 > len(votes) else foreground


def _product(pixels: Field) -> Mask | None:
    """The product in a small image; None where there is no background to tell it from."""
    ground, noise, plain = _background(pixels)
    if plain < _PLAIN or noise > _NOISE[1]:
        return None
    difference = np.abs(pixels - ground).max(axis=2)
    least = max(_APART[0] * noise, _APART[1])
    other = difference[difference > least]
    if not len(other):
        return None
    most = max(0.6 * float(np.percentile(other, 90)), least)
    candidates = (_parts(difference > threshold) for threshold in np.linspace(least, most, _THRESHOLDS))
    return max((one for one in candidates if _stands_out(one, difference)), key=_Sharpness(difference), default=None)


def _stands_out(product: Mask, difference: Field) -> bool:
    """Whether this is a thing before a background: of middling size, clearly other, within the frame, in one piece."""
    if not SMALLEST <= product.mean() <= 1 - _GROUND or np.median(difference[product]) < _CONTRAST:
        return False
    edge = np.concatenate([product[0], product[-1], product[:, 0], product[:, -1]])
    if edge.mean() > _EDGE:
        return False
    areas = np.bincount(label(product)[0].ravel())[1:]
    return bool(areas.max() >= _ONE * areas.sum())


class _Sharpness:
    """Mean steepness of the difference along the outline of a product: a shadow's edge is soft, the product's hard."""

    def __init__(self, difference: Field) -> None:
        self._steepness = gaussian_gradient_magnitude(difference, 1.0)

    def __call__(self, product: Mask) -> float:
        rim = binary_dilation(product) ^ binary_erosion(product, border_value=1)
        return float(self._steepness[rim].mean()) if rim.any() else 0.0


def _parts(other: Mask) -> Mask:
    """Gaps closed, holes filled, small pieces dropped."""
    filled = binary_fill_holes(binary_closing(np.pad(other, 4, mode="edge"), iterations=2))[4:-4, 4:-4]
    return _large_parts(binary_opening(filled))


def _background(pixels: Field) -> tuple[Field, float, float]:
    """Surface through the border, its noise in grey levels, and the share of the border that lies on it."""
    size = pixels.shape[0]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2)
    ring = np.ones((size, size), dtype=np.bool_)
    width = max(2, round(_RING * size))
    ring[width:-width, width:-width] = False
    design, colours = terms[ring], pixels[ring]
    start = np.median(colours, axis=0)
    off = np.abs(colours - start).max(axis=1)
    kept = off <= max(2 * float(np.median(off)), 6.0)
    noise = _NOISE[0]
    for _ in range(6):
        surface, *_ = np.linalg.lstsq(design[kept], colours[kept], rcond=None)
        off = np.abs(colours - design @ surface).max(axis=1)
        noise = max(1.4826 * float(np.median(off[kept])), _NOISE[0])
        kept = off <= max(4 * noise, _APART[1])
        if kept.sum() < 0.3 * len(kept):
            break
    return np.asarray(terms @ surface, dtype=np.float32), noise, float(kept.mean())


def _large_parts(mask: Mask) -> Mask:
    """The mask without pieces much smaller than its largest."""
    parts, count = label(mask)
    if not count:
        return mask
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    return np.asarray((areas >= _PART * areas.max())[parts])


def _small(image: Pixels) -> Field:
    """The image blurred and scaled to at most 192 px a side: float32."""
    picture = Image.fromarray(image).convert("RGB")
    side = min(_SIDE, max(picture.size))
    small = picture.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0).filter(
        ImageFilter.GaussianBlur(1)
    )
    return np.asarray(small, dtype=np.float32)
