"""Appearances that follow the middle of a thin mask: cracks and scratches. In a broad mask they become many."""

from __future__ import annotations

import math

import numpy as np

from blemish.synthesis.painter.scene import Field, Layer, Scene, step

_BROAD = 12  # half width in nominal pixels from which a mask holds many strokes instead of being one


def dark_stroke(scene: Scene, strength: float, rng: np.random.Generator) -> Layer:
    """A dark line with jagged edges, of uneven darkness, with a faint bright lip on one side."""
    jagged = scene.noise(rng, 14)
    if scene.half_width > _BROAD * scene.scale:
        line = _network(scene, rng)
    else:
        broken = step(1.8 * scene.noise(rng, 60))
        line = step((scene.depth / scene.half_width - 0.75 * scene.noise(rng, 9) * (1.3 - 0.6 * broken)) * 2.5)
        line = np.maximum(line * (0.6 + 0.4 * broken), 0.12 * scene.mask)
    dark = np.clip(rng.uniform(0.5, 0.8) * strength * (0.75 + 0.5 * jagged), 0, 0.96)
    floor = np.minimum(scene.picture, scene.surroundings) * (1 - dark)[:, :, None]
    lip = np.clip(scene.slope(rng.uniform(0, 2 * math.pi)), 0, 1) * (1 - line)
    colours = floor + (25 * strength * lip)[:, :, None]
    return Layer(colours, scene.soft * np.clip(line + 0.5 * lip * scene.mask, 0, 1))


def bright_stroke(scene: Scene, strength: float, rng: np.random.Generator) -> Layer:
    """A bright furrow, broken here and there, with a dark edge on one side."""
    angle = rng.uniform(0, math.pi)
    broken = scene.noise(rng, 40)
    if scene.half_width > _BROAD * scene.scale:
        line = step((scene.streaks(rng, angle, 9) - 0.55) * 8)
    else:
        line = step((scene.depth / scene.half_width - 0.25 * scene.noise(rng, 10)) * 2.2)
    line = line * (0.45 + 0.55 * step((broken - 0.25) * 4))
    around = scene.surroundings
    lit = np.minimum(np.maximum(around * 1.5, around + 70 * strength), 255)
    glint = np.clip(rng.uniform(0.45, 0.8) * strength, 0, 1)
    shadow = np.clip(-scene.slope(angle + math.pi / 2), 0, 1) * (1 - line)
    colours = scene.picture + (lit - scene.picture) * glint
    colours = colours * (1 - (0.4 * shadow * (1 - line))[:, :, None])
    return Layer(colours, scene.soft * np.clip(line + 0.6 * shadow * scene.mask, 0, 1))


def _network(scene: Scene, rng: np.random.Generator) -> Field:
    """Branching lines where smooth noise passes through its middle, for masks too broad to be one line."""
    lines = np.zeros(scene.mask.shape, dtype=np.float32)
    for coarse in (90, 45):
        noise = scene.noise(rng, coarse)
        down, across = np.gradient(noise)
        distance = np.abs(noise - np.median(noise[scene.mask])) / np.maximum(np.hypot(down, across), 1e-4)
        lines = np.maximum(lines, step(1.6 - distance / max(2 * scene.scale, 0.7)))
    return lines
