"""Appearances with relief: holes, and parts that are missing."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import distance_transform_edt

from blemish.synthesis.painter.scene import Colours, Layer, Scene, step


def hole(scene: Scene, strength: float, rng: np.random.Generator) -> Layer:
    """A dark pit: its wall lit on the side away from the lamp, dark below it, darkest in the middle.

    In a picture of two tones it is a spot of the other one.
    """
    if (flat := scene.other_tone()) is not None:
        return flat
    light = rng.uniform(0, 2 * math.pi)
    ragged = scene.depth / scene.half_width + 0.35 * (scene.noise(rng, 12) - 0.5)
    pit = step(ragged * 2.4)
    depth = step(ragged * 1.1)
    dark = np.clip(rng.uniform(0.6, 0.85) * strength * (0.55 + 0.45 * depth), 0, 0.97)
    floor = scene.surroundings * (1 - dark)[:, :, None] + 0.3 * scene.grain
    wall = scene.slope(light) * (1 - 0.8 * depth)
    lit = scene.surroundings * 1.25 + 20 * strength
    facing = (0.7 * np.clip(wall, 0, 1))[:, :, None]
    colours = floor * (1 - facing) + lit * facing
    colours = colours * (1 - 0.5 * np.clip(-wall, 0, 1))[:, :, None]
    return Layer(np.clip(colours, 0, 255), scene.soft * np.maximum(pit, 0.3))


def missing(scene: Scene, strength: float, rng: np.random.Generator) -> Layer:
    """A part that is not there: one sees the background, or where there is none a rough, shaded place of breakage.

    In a picture of two tones it shows the other one.
    """
    if scene.product is not None and not (scene.product | scene.mask).all():
        return Layer(_background(scene, rng), np.where(scene.mask, scene.soft, scene.soft * 0.8))
    if (flat := scene.other_tone()) is not None:
        return flat
    light = rng.uniform(0, 2 * math.pi)
    rough = scene.noise(rng, 60) - 0.5
    down, across = np.gradient(rough)
    facets = across * math.cos(light) + down * math.sin(light)
    facets = facets / max(float(np.abs(facets).max()), 1e-6)
    deeper = np.clip(rng.uniform(0.25, 0.55) * strength, 0, 0.9)
    shade = 1 - deeper + 0.35 * facets + 0.25 * rough
    edge = np.exp(-((scene.depth / (5 * scene.scale)) ** 2)) * scene.slope(light)
    colours = scene.surroundings * (shade + 0.5 * edge)[:, :, None] + _moved(scene, scene.grain, rng)
    return Layer(np.clip(colours, 0, 255), scene.soft)


def _background(scene: Scene, rng: np.random.Generator) -> Colours:
    """The background behind the product, continued below the mask with its own fine texture."""
    assert scene.product is not None
    behind = ~(scene.product | (scene.soft > 0))
    if not behind.any():
        return scene.surroundings
    # close to the product the fine texture is that of its outline
    plain = behind & (distance_transform_edt(behind) > 12 * scene.scale)
    grain = scene.grain[plain if plain.any() else behind]
    pick = rng.integers(len(grain), size=scene.mask.shape)
    return np.asarray(np.clip(scene.filled_from(behind) + grain[pick], 0, 255))


def _moved(scene: Scene, field: Colours, rng: np.random.Generator) -> Colours:
    """A field from elsewhere in the picture, cyclically shifted."""
    size = scene.size
    shift = rng.integers(max(size // 8, 1), max(size - size // 8, 2), size=2)
    return np.roll(field, (int(shift[0]), int(shift[1])), axis=(0, 1))
