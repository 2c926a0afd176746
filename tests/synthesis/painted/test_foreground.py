"""Foreground: products before a plain background, products that fill the frame, and any image at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from blemish.data import Dataset
from blemish.data.decode import load_square
from blemish.procedural.seeding import generator
from blemish.synthesis.foreground import FOREGROUNDS, SMALLEST, agreed, auto_foreground, no_foreground

SIZE = 160
Pixels = NDArray[np.uint8]


def picture(ground: int, thing: int, *, radius: float = 0.3, shadow: int = 0, noise: float = 2.0) -> Pixels:
    """A disc on a ground that darkens to one side, with noise and perhaps a soft shadow around the disc."""
    axis = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    distance = np.hypot(axis[:, None], axis[None, :])
    levels = ground + 12 * axis[None, :] + np.zeros((SIZE, SIZE))
    levels -= shadow * np.clip(1 - (distance - radius) / 0.15, 0, 1)
    levels[distance < radius] = thing
    levels = levels[:, :, None] + generator(0, "picture").normal(0, noise, (SIZE, SIZE, 3))
    return np.clip(levels, 0, 255).astype(np.uint8)


def disc(radius: float = 0.3) -> NDArray[np.bool_]:
    axis = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    return np.hypot(axis[:, None], axis[None, :]) < radius


@pytest.mark.parametrize(("ground", "thing", "shadow"), [(200, 60, 0), (30, 150, 0), (200, 60, 40), (120, 200, 0)])
def test_a_thing_before_a_plain_background(ground: int, thing: int, shadow: int) -> None:
    found = auto_foreground(picture(ground, thing, shadow=shadow))
    overlap = (found & disc()).sum() / (found | disc()).sum()
    assert overlap > 0.93


def test_holes_are_filled_and_crumbs_dropped() -> None:
    image = picture(200, 60)
    image[70:90, 70:90] = image[5, 5]
    image[8:11, 8:11] = 60
    found = auto_foreground(image)
    assert found[70:90, 70:90].all()
    assert not found[:20, :20].any()


@pytest.mark.parametrize(
    "image",
    [
        picture(120, 130),  # hardly differs
        picture(200, 60, radius=0.1),  # 3 % of the image
        picture(200, 60, radius=0.62),  # hardly any background
        picture(128, 60, noise=25),  # a rough ground
        np.indices((SIZE, SIZE, 3)).sum(axis=0).astype(np.uint8) // 16 % 2 * 255,  # a pattern
        np.zeros((SIZE, SIZE, 3), np.uint8),
    ],
)
def test_the_whole_image_counts(image: Pixels) -> None:
    assert auto_foreground(image).all()


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), size=st.integers(8, 220), kind=st.integers(0, 3))
def test_any_image_has_a_foreground(seed: int, size: int, kind: int) -> None:
    rng = generator(seed, "any image")
    image = np.full((size, size, 3), rng.integers(256), dtype=np.uint8)
    if kind:
        cell = int(rng.integers(1, size + 1))
        coarse = rng.integers(0, 256, (size // cell + 1, size // cell + 1, 3), dtype=np.uint8)
        noisy = np.kron(coarse, np.ones((cell, cell, 1), np.uint8))[:size, :size]
        inside = slice(size // 5, -(size // 5)) if kind > 1 else slice(None)
        image[inside, inside] = noisy[inside, inside]
    found = auto_foreground(image)
    assert found.shape == (size, size)
    assert found.dtype == np.bool_
    assert found.mean() >= SMALLEST / 2


def test_a_product_is_decided_as_one() -> None:
    thing, frame = picture(200, 60), picture(120, 130)
    assert agreed([thing, thing, frame]) is auto_foreground
    assert agreed([thing, frame, frame]) is no_foreground
    assert agreed([]) is auto_foreground
    assert FOREGROUNDS["none"](thing).all()


@pytest.mark.parametrize(
    ("folder", "whole"),
    [
        ("mvtec_subset/screw", False),
        ("mvtec_subset/hazelnut", False),
        ("mvtec_subset/transistor", True),
        ("magnetic_tile", True),
        ("solar_cell/mono", True),
        ("printed_circuit/pcb", True),
    ],
)
def test_real_products(shared: Path, folder: str, whole: bool) -> None:
    if not (root := shared / "data" / folder).is_dir():
        pytest.skip(f"no images in {root}")
    samples = Dataset.from_folder(root).train_normals()
    images = [load_square(sample.path, 256) for sample in samples[:: max(len(samples) // 8, 1)]]
    found = [auto_foreground(image) for image in images]
    assert (agreed(images) is no_foreground) == whole
    assert sum(one.all() == whole for one in found) >= 0.75 * len(found)
    if not whole:
        assert all(0.05 < one.mean() < 0.5 and one[100:156, 100:156].any() for one in found)
