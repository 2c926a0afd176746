"""Appearances that bring a picture's own texture, or ink, to a wrong place."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import map_coordinates

from blemish.synthesis.painter.scene import Colours, Layer, Scene, step

_INKS = ((244, 242, 236), (18, 18, 22), (190, 30, 40), (25, 60, 150), (235, 200, 40), (30, 120, 70))


def displacement(scene: Scene, strength: float, rng: np.random.Generator) -> Layer:
    """Texture shifted by some per cent of the image, or turned about the middle of the mask."""
    size = scene.size
    rows, columns = np.nonzero(scene.mask)
    grid = np.mgrid[:size, :size].astype(np.float32)
    if rng.random() < 0.6:
        length = max(rng.uniform(0.03, 0.08) * size, 0.6 * scene.half_width) * strength
        angle = rng.uniform(0, 2 * math.pi)
        where = grid + np.array([math.sin(angle), math.cos(angle)], dtype=np.float32)[:, None, None] * length
    else:
        turn = rng.uniform(0.25, 0.9) * strength * rng.choice([-1, 1])
        middle = np.array([rows.mean(), columns.mean()], dtype=np.float32)[:, None, None]
        y, x = grid - middle
        cos, sin = math.cos(turn), math.sin(turn)
        where = np.stack([y * cos - x * sin, y * sin + x * cos]) + middle
    return Layer(_sampled(scene.picture, where), scene.soft)


def misprint(scene: Scene, strength: float, rng: np.random.Generator) -> Layer:
    """Ink in the mask, of the picture's own palette or of another colour; or a tinted ghost of the print nearby.

    In a picture of two tones it is ink of the other one.
    """
    if (flat := scene.other_tone()) is not None:
        return flat
    kind = rng.random()
    here = scene.picture[scene.mask].mean(axis=0)
    if kind < 0.75:
        own = np.percentile(scene.picture.reshape(-1, 3), (2, 98), axis=0)
        inks = own if kind < 0.4 else np.array(_INKS, dtype=np.float32)
        distance = np.abs(inks - here).max(axis=1)
        distinct = np.flatnonzero(distance >= min(90.0, float(distance.max())))
        ink = inks[int(rng.choice(distinct))]
        cover = np.clip((0.8 + 0.2 * strength) * (0.75 + 0.35 * step(2.5 * scene.noise(rng, 16))), 0, 1)
        colours = np.broadcast_to(ink, scene.picture.shape) + 0.3 * scene.grain
        return Layer(np.clip(colours, 0, 255).astype(np.float32), scene.soft * cover)
    angle, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.05, 0.15) * scene.size * strength
    grid = np.mgrid[: scene.size, : scene.size].astype(np.float32)
    where = grid + np.array([math.sin(angle), math.cos(angle)], dtype=np.float32)[:, None, None] * length
    tint = rng.uniform(0.45, 1, 3) ** strength
    ghost = _sampled(scene.picture, where) * tint.astype(np.float32)
    return Layer(ghost, scene.soft * 0.9)


def _sampled(picture: Colours, where: Colours) -> Colours:
    """Bilinear colours of the picture at (row, column) positions 2×S×S, mirrored at its border."""
    channels = [map_coordinates(picture[:, :, channel], where, order=1, mode="mirror") for channel in range(3)]
    return np.stack(channels, axis=2)
