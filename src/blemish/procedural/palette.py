"""Colours: small palettes, and pictures coloured with them. Colours are float32 RGB in [0, 1]."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Colours = NDArray[np.float32]


def from_hsv(hue: Field, saturation: Field, value: Field) -> Colours:
    """RGB of n colours, hue in turns, saturation and value in [0, 1]: n×3."""
    offsets = np.array([5.0, 3.0, 1.0], dtype=np.float32)
    k = (offsets + hue[:, None] * 6) % 6
    wedge = np.clip(np.minimum(k, 4 - k), 0, 1)
    return np.asarray(value[:, None] * (1 - saturation[:, None] * wedge), dtype=np.float32)


def palette(rng: np.random.Generator, count: int) -> Colours:
    """`count` colours that go together: grey, one hue, neighbouring hues or all hues, dull more often than bright."""
    kind = rng.random()
    origin = rng.random()
    centre = rng.normal(0.09, 0.04) if origin < 0.35 else rng.normal(0.58, 0.05) if origin < 0.5 else rng.random()
    spread = 0.02 if kind < 0.3 else 0.08 if kind < 0.65 else 0.5
    hue = (centre + rng.normal(0, spread, size=count)) % 1
    saturation = rng.beta(1.6, 2.6, size=count) * (0.12 if kind < 0.18 else 1.0)
    bottom, span = rng.uniform(0, 0.4), rng.uniform(0.3, 1)
    value = np.clip(bottom + span * (np.arange(count) + rng.random(count)) / count, 0, 1)
    return from_hsv(*(np.asarray(part, dtype=np.float32) for part in (hue, saturation, rng.permutation(value))))


def gradient_map(field: Field, colours: Colours) -> Colours:
    """Colour a field in [0, 1] with colours spread evenly over that range: H×W×3."""
    positions = np.linspace(0, 1, len(colours))
    ramp = np.linspace(0, 1, 256)
    table = np.stack([np.interp(ramp, positions, channel) for channel in colours.T], axis=1).astype(np.float32)
    return table[np.clip(field * 255, 0, 255).astype(np.uint8)]


def colourise(field: Field, rng: np.random.Generator) -> Colours:
    """Colour a field in [0, 1] with a random palette of two to five colours: H×W×3."""
    colours = palette(rng, int(rng.integers(2, 6)))
    if rng.random() < 0.6:
        colours = colours[np.argsort(luminance(colours))]
    return gradient_map(field, colours)


def luminance(colours: Colours) -> Field:
    """Grey value of …×3 colours."""
    return np.asarray(0.299 * colours[..., 0] + 0.587 * colours[..., 1] + 0.114 * colours[..., 2])


def to_pixels(colours: Colours) -> NDArray[np.uint8]:
    """Clip to [0, 1] and round to 8 bits."""
    return np.asarray(np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between `low` and `high`, equally likely per octave."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))
