"""What cameras do to pictures: tone, colour cast, blur, noise, compression."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from blemish.procedural.noise import coordinates, value_noise
from blemish.procedural.palette import Colours, log_uniform, luminance, to_pixels


def illuminate(picture: Colours, rng: np.random.Generator) -> Colours:
    """Uneven light: a slope across the picture or soft spots, 40 to 140 %."""
    size = picture.shape[0]
    if rng.random() < 0.5:
        y, x = coordinates(size)
        slope = rng.normal(0, 0.25, size=2).astype(np.float32)
        gain = 1 + x * slope[0] + y * slope[1]
    else:
        gain = 0.6 + 0.8 * value_noise(size, (2, 2), rng)
    return np.asarray(picture * np.clip(gain, 0.4, 1.4)[:, :, None], dtype=np.float32)


def develop(picture: Colours, rng: np.random.Generator) -> Colours:
    """Tone: stretched contrast, gamma, a colour cast, or all grey."""
    if rng.random() < 0.5:
        low, high = np.quantile(luminance(picture[::4, ::4]), [0.02, 0.98])
        target = rng.uniform(0, 0.25), rng.uniform(0.6, 1.0)
        gain = min((target[1] - target[0]) / max(float(high - low), 0.05), 4.0)
        picture = (picture - low) * gain + (target[0])
    if rng.random() < 0.3:
        picture = np.clip(picture, 0, 1) ** (2 ** rng.uniform(-0.8, 0.8))
    if rng.random() < 0.2:
        return np.repeat(luminance(picture)[:, :, None], 3, axis=2)
    if rng.random() < 0.3:
        picture = picture * rng.uniform(0.8, 1.1, size=3).astype(np.float32)
    return picture


def photograph(picture: Colours, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur, sensor noise and JPEG compression, each sometimes; rounded to 8 bits."""
    if rng.random() < 0.35:
        deviation = log_uniform(rng, 0.005, 0.08)
        noise = rng.standard_normal((*picture.shape[:2], 1 if rng.random() < 0.5 else 3), dtype=np.float32)
        picture = picture + noise * deviation
    image = Image.fromarray(to_pixels(picture))
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.GaussianBlur(log_uniform(rng, 0.3, 1.6)))
    if rng.random() < 0.2:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(25, 92)))
        image = Image.open(buffer)
    return np.array(image)
