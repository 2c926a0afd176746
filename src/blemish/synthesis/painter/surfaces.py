"""Appearances of a surface: stains, rough places, steps of brightness."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter

from blemish.synthesis.painter.scene import Layer, Scene, step

# What light a stain lets through, per channel: dirt, rust, oil, ink, moss; the same for all channels is soot.
_TINTS = (
    (0.6, 0.5, 0.38),
    (0.75, 0.45, 0.28),
    (0.7, 0.65, 0.45),
    (0.5, 0.55, 0.7),
    (0.55, 0.65, 0.45),
    (0.5, 0.5, 0.5),
)


def stain(scene: Scene, strength: float, rng: np.random.Generator) -> Layer:
    """A translucent blot with a ragged edge, strongest where it dried, its rim; now and then a pale one."""
    tint = np.array(_TINTS[int(rng.integers(len(_TINTS)))], dtype=np.float32)
    through = 1 - (1 - tint) * strength * rng.uniform(0.75, 1.25)
    pale = rng.random() < 0.25
    paint = 255 - (255 - scene.picture) * through if pale else scene.picture * np.clip(through, 0.03, 1)
    ragged = step(scene.depth / max(0.25 * scene.half_width, 1) - 0.8 * (scene.noise(rng, 24) - 0.4))
    rim = np.exp(-((scene.depth / max(0.18 * scene.half_width, 1.5)) ** 2))
    mottle = scene.noise(rng, 70)
    weight = np.clip(np.maximum(ragged, 0.25) * (0.55 + 0.35 * mottle + 0.3 * rim) * 1.1, 0, 1)
    return Layer(np.clip(paint, 0, 255), np.asarray(scene.soft * weight, dtype=np.float32))


def texture(scene: Scene, strength: float, rng: np.random.Generator) -> Layer:
    """A worn, streaky place: its own texture blurred away, darker or paler, with streaks and grain instead."""
    angle = rng.uniform(0, math.pi)
    deviation = 5 * scene.scale
    smooth = gaussian_filter(scene.picture, (deviation, deviation, 0), mode="nearest")
    level = 1 - rng.uniform(0.25, 0.45) * strength if rng.random() < 0.8 else 1 + rng.uniform(0.15, 0.35) * strength
    streaks = scene.streaks(rng, angle, 8) - 0.5
    grain = scene.noise(rng, 5) - 0.5
    lively = 10 + 0.1 * float(scene.picture[scene.mask].mean())
    relief = lively * strength * (rng.uniform(0.5, 1.2) * streaks + 0.5 * grain)
    colours = smooth * max(level, 0.1) + 0.4 * scene.grain + relief[:, :, None]
    edge = step(scene.depth / max(0.06 * scene.half_width, 1) + 0.6 - scene.noise(rng, 20))
    return Layer(np.clip(colours, 0, 255), scene.soft * np.maximum(edge, 0.4))


def tone(scene: Scene, strength: float, rng: np.random.Generator) -> Layer:
    """A step of brightness that fades from one side of the mask to the other."""
    rows, columns = np.nonzero(scene.mask)
    angle = rng.uniform(0, 2 * math.pi)
    across = (columns * math.cos(angle) + rows * math.sin(angle)).astype(np.float32)
    low, high = float(across.min()), float(across.max())
    axis = np.arange(scene.size, dtype=np.float32)
    field = axis[None, :] * math.cos(angle) + axis[:, None] * math.sin(angle)
    fade = 1 - rng.uniform(0, 0.6) * np.clip((field - low) / max(high - low, 1), 0, 1)
    bright = rng.random() < 0.5
    gain = 1 + (1 if bright else -0.7) * rng.uniform(0.15, 0.5) * strength * fade
    lift = (12 if bright else -12) * strength * fade
    colours = scene.picture * np.maximum(gain, 0.05)[:, :, None] + lift[:, :, None]
    edge = step(scene.depth / max(rng.uniform(0.02, 0.3) * scene.half_width, 1))
    return Layer(np.clip(colours, 0, 255).astype(np.float32), scene.soft * np.maximum(edge, 0.3))
