"""Anomaly maps and masks as PNG, and an image under both."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from blemish.calibration import Calibration
from blemish.data.decode import IntensityRange, read_image
from blemish.evaluation.report import colour_range, overlay
from blemish.evaluation.report.overlay import scaled, shades
from blemish.evaluation.report.palette import colour
from blemish.inspection import Inspection, Region

_MOST_SIDE = 1600  # of an overlay, in pixels


def map_png(found: Inspection, calibration: Calibration) -> bytes:
    """The anomaly map at model resolution, 8 bits: 0 is 0, 127 or 128 the threshold, 255 twice that or more.

    Of an unknown product, which has no threshold, 0 is the lowest value and 255 the highest.
    """
    threshold = calibration[found.product].pixel_threshold if found.known else None
    return _png(Image.fromarray(shades(found.anomaly_map, *colour_range(found.anomaly_map, threshold))))


def mask_png(found: Inspection) -> bytes:
    """The mask at model resolution, defective pixels white."""
    return _png(Image.fromarray(found.mask.astype(np.uint8) * 255))


def scaled_jpeg(image: bytes, side: int, intensity_range: IntensityRange | None = None) -> bytes:
    """An image as a JPEG of at most `side` pixels a side, upright. Raises ImageError."""
    picture = Image.fromarray(read_image(image, intensity_range=intensity_range, side=side))
    picture.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def overlay_png(
    image: bytes,
    anomaly_map: bytes,
    result: dict[str, Any],
    categories: Sequence[str],
    intensity_range: IntensityRange | None = None,
) -> bytes:
    """An image under its heat map with the outlines of its regions, at most 1,600 px a side.

    Args:
        image: the file.
        anomaly_map: of `map_png`.
        result: `Inspection.to_dict()`.
        categories: of the product, which have a colour each.
        intensity_range: which values of a deep image are black and white.

    Raises:
        ImageError: the image cannot be read.
    """
    picture = Image.fromarray(read_image(image, intensity_range=intensity_range))
    scale = min(1.0, _MOST_SIDE / max(picture.size))
    small = picture.resize((round(picture.width * scale), round(picture.height * scale))) if scale < 1 else picture
    with Image.open(BytesIO(anomaly_map)) as stored:
        values = np.asarray(stored, dtype=np.float32)
    outlines = [
        (scaled(region.polygon, (scale, scale)), colour(region.category, categories))
        for region in map(Region.from_dict, result["regions"])
    ]
    return _png(overlay(small, values, 0, 255, outlines=outlines))


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # the line waits for it
    return buffer.getvalue()
