from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from blemish.data.atypical import AT_MOST, THRESHOLD, describe, find_atypical, robust_z

pytestmark = pytest.mark.core


def part(seed: int) -> NDArray[np.uint8]:
    """A bright disc on a dark ground, noisy and lit a little differently each time."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - 32
    grey = generator.uniform(0.95, 1.05) * (40 + 120 * (y**2 + x**2 < 400)) + generator.normal(0, 4, (64, 64))
    return np.dstack([grey, grey, grey]).clip(0, 255).astype(np.uint8)


def striped(pixels: Any) -> Any:
    return np.where(np.arange(64)[:, None, None] % 8 < 4, pixels, 255 - pixels)


def found(images: list[NDArray[np.uint8]], groups: list[str | None] | None = None) -> list[tuple[str, str]]:
    paths = [Path(str(index)) for index in range(len(images))]
    descriptors = np.stack([describe(image) for image in images])
    atypical = find_atypical(paths, descriptors, groups or [None] * len(images))
    assert all(one.z > THRESHOLD for one in atypical)
    return [(one.path.name, one.view) for one in atypical]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda pixels: np.zeros_like(pixels), id="black"),
        pytest.param(lambda pixels: 255 - pixels, id="inverted"),
        pytest.param(lambda pixels: np.roll(pixels, 20, axis=1), id="moved"),
        pytest.param(lambda pixels: pixels // 2, id="dark"),
        pytest.param(striped, id="another part"),
        pytest.param(lambda pixels: pixels * np.array([1, 1, 0], np.uint8), id="yellow"),
    ],
)
def test_the_odd_one_is_found(change: Any) -> None:
    images = [part(seed) for seed in range(30)]
    images[11] = change(images[11])

    assert found(images)[0][0] == "11"


def test_like_images_are_left_in_peace() -> None:
    assert len(found([part(seed) for seed in range(40)])) <= 1


def test_at_most_five() -> None:
    strange = [
        np.random.default_rng(seed).integers(0, 256, (64, 64, 3)).astype(np.uint8) // (seed + 1) for seed in range(9)
    ]

    assert len(found([part(seed) for seed in range(60)] + strange)) == AT_MOST


def test_shots_of_one_strange_part_do_not_vouch_for_each_other() -> None:
    images: list[NDArray[np.uint8]] = [part(seed) for seed in range(40)] + [striped(part(50))] * 7
    groups: list[str | None] = [None] * 40

    assert {name for name, _ in found(images, groups + ["same"] * 7)} <= {str(index) for index in range(40, 47)}
    assert len(found(images, groups + ["same"] * 7)) == AT_MOST
    assert not {name for name, _ in found(images)} & {str(index) for index in range(40, 47)}


def test_a_few_images_say_nothing() -> None:
    assert found([part(seed) for seed in range(6)] + [np.zeros((64, 64, 3), np.uint8)]) == []


def test_equal_images_are_not_atypical() -> None:
    assert found([part(0)] * 20) == []


@pytest.mark.parametrize(
    ("distances", "expected"),
    [([1, 1, 1, 1], [0, 0, 0, 0]), ([0, 0, 0, 1], [0, 0, 0, 0]), ([1, np.e, np.e**2], [-0.6745, 0, 0.6745])],
)
def test_robust_z(distances: list[float], expected: list[float]) -> None:
    assert robust_z(np.array(distances, dtype=float)) == pytest.approx(expected, abs=1e-4)
