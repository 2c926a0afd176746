"""Outlines as polygons, and solid bodies as height fields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.procedural.noise import Field, coordinates, fractal_noise, smooth
from blemish.procedural.palette import Colours

Points = NDArray[np.float32]

OUTLINE_POINTS = 28


def outline(rng: np.random.Generator) -> Points:
    """A random closed outline within the unit circle (ellipse, polygon, star, blob, bar, gear): 28×2 (x, y)."""
    turn = np.arange(OUTLINE_POINTS, dtype=np.float32) / OUTLINE_POINTS
    angle = turn * (2 * math.pi)
    kind = int(rng.integers(6))
    if kind in (0, 1):
        corners = int(rng.integers(3, 8)) if kind else 4
        sector = (turn * corners) % 1
        radius = math.cos(math.pi / corners) / np.cos((sector - 0.5) * (2 * math.pi / corners))
    elif kind == 2:
        radius = np.where(np.arange(OUTLINE_POINTS) % 4 < 2, 1, rng.uniform(0.35, 0.85))
    elif kind == 3:
        lobes = np.arange(2, 7)[:, None]
        strength = rng.normal(0, 0.5, size=(5, 1)) / lobes
        radius = np.exp((strength * np.sin(lobes * angle + rng.uniform(0, 6.3, size=(5, 1)))).sum(axis=0))
        radius = radius / radius.max()
    else:
        radius = np.ones(OUTLINE_POINTS, dtype=np.float32)
    flat = 1.0 if rng.random() < 0.4 else rng.uniform(0.15, 1)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle) * flat], axis=1)
    return np.asarray(points, dtype=np.float32)


def silhouette(size: int, rng: np.random.Generator) -> Field:
    """Coverage in [0, 1] of one to six filled outlines, antialiased."""
    canvas = Image.new("L", (2 * size, 2 * size))
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 7))):
        angle = rng.uniform(0, 2 * math.pi)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        points = outline(rng) @ turn * (size * rng.uniform(0.15, 0.8)) + rng.uniform(0, 2 * size, size=2)
        draw.polygon(points.ravel().tolist(), fill=255 if rng.random() < 0.85 else 0)
    return np.asarray(np.asarray(canvas.reduce(2)) / 255, dtype=np.float32)


def solid(size: int, rng: np.random.Generator) -> tuple[Field, Field]:
    """One body seen from above, with rounded or bevelled edges.

    Returns: its height (in half image sides, 0 outside) and its coverage in [0, 1].
    """
    distance = signed_distance(size, rng)
    coverage = np.asarray(np.clip(0.5 - distance * (size / 2), 0, 1))
    depth = np.maximum(-distance, 0)
    bevel = rng.uniform(0.02, 0.5)
    profile = np.minimum(depth / bevel, 1)
    if rng.random() < 0.75:
        profile = np.sqrt(1 - (1 - profile) ** 2)
    return np.asarray(profile * min(bevel, 0.35), dtype=np.float32), coverage


def signed_distance(size: int, rng: np.random.Generator) -> Field:
    """Distance to the edge of a random body (disc, ring, box, capsule, polygon, gear, blob); negative inside."""
    y, x = coordinates(size)
    angle = rng.uniform(0, 2 * math.pi)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = x - rng.uniform(-0.6, 0.6), y - rng.uniform(-0.6, 0.6)
    u, v = x * cos + y * sin, y * cos - x * sin
    radius = rng.uniform(0.15, 0.75)
    return np.asarray(_distance(u, v, radius, rng), dtype=np.float32)


def _distance(u: Field, v: Field, radius: float, rng: np.random.Generator) -> Any:
    """Distance to the edge of one of seven kinds of body at the origin."""
    kind = int(rng.integers(7))
    if kind == 0:
        return np.hypot(u, v * rng.uniform(1, 1.6)) - radius
    if kind == 1:
        return np.abs(np.hypot(u, v) - radius * 0.7) - radius * rng.uniform(0.1, 0.4)
    if kind == 2:
        half = radius * rng.uniform(0.15, 1)
        corner = half * rng.uniform(0.05, 0.9)
        a, b = np.abs(u) - radius + corner, np.abs(v) - half + corner
        return np.hypot(np.maximum(a, 0), np.maximum(b, 0)) + np.minimum(np.maximum(a, b), 0) - corner
    if kind == 3:
        along = np.clip(u, -radius, radius)
        return np.hypot(u - along, v) - radius * rng.uniform(0.08, 0.6)
    theta = np.arctan2(v, u)
    if kind == 4:
        sector = 2 * math.pi / int(rng.integers(3, 9))
        folded = theta - np.round(theta / sector) * sector
        return np.hypot(u, v) * np.cos(folded) - radius
    if kind == 5:
        teeth = np.tanh(np.sin(theta * int(rng.integers(6, 30))) * rng.uniform(1, 6))
        distance = np.hypot(u, v) - radius * (1 + rng.uniform(0.03, 0.12) * teeth)
        bore = radius * rng.uniform(0, 0.6)
        return np.maximum(distance, bore - np.hypot(u, v))
    return np.hypot(u, v) - radius * (0.5 + fractal_noise(u.shape[0], rng, cells=3))


@dataclass(frozen=True)
class Lamp:
    """One distant lamp above a surface.

    Attributes:
        azimuth: where it stands, in radians from the x axis towards y (down).
        elevation: above the surface, in radians; π / 2 is straight above.
        ambient: share of the light that comes from all sides.
        gloss: brightness of the highlight.
        sharpness: exponent of the highlight; higher is smaller.
        metallic: whether the highlight takes the surface's colour.
    """

    azimuth: float
    elevation: float
    ambient: float = 0.3
    gloss: float = 0.2
    sharpness: float = 20.0
    metallic: bool = False


def lit(height: Field, albedo: Colours, lamp: Lamp) -> Colours:
    """Shade a relief: diffuse light, a highlight (Blinn–Phong) and darker hollows.

    Args:
        height: size×size, in half image sides.
        albedo: size×size×3 in [0, 1].

    Returns: size×size×3, above 1 where the highlight is strong.
    """
    size = height.shape[0]
    slope_y, slope_x = (slope * (size / 2) for slope in np.gradient(height))
    level = math.cos(lamp.elevation)
    to_lamp = np.array([math.cos(lamp.azimuth) * level, math.sin(lamp.azimuth) * level, math.sin(lamp.elevation)])
    half = to_lamp + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    inverse = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
    diffuse, facing = (
        np.maximum((float(z) - slope_x * float(x) - slope_y * float(y)) * inverse, 0) for x, y, z in (to_lamp, half)
    )
    hollow = np.clip(1 - 4 * (smooth(height, size / 20) - height), 0.4, 1)
    shade = lamp.ambient * hollow + (1 - lamp.ambient) * diffuse
    shine = lamp.gloss * facing**lamp.sharpness
    tint = albedo if lamp.metallic else 1.0
    return np.asarray(albedo * shade[:, :, None] + tint * shine[:, :, None], dtype=np.float32)


def random_lamp(rng: np.random.Generator) -> Lamp:
    """A lamp anywhere above the horizon, from dull to glossy."""
    return Lamp(
        azimuth=rng.uniform(0, 2 * math.pi),
        elevation=rng.uniform(0.45, 1.3),
        ambient=rng.uniform(0.15, 0.5),
        gloss=rng.beta(1, 2),
        sharpness=2 ** rng.uniform(2, 7),
        metallic=rng.random() < 0.3,
    )
