"""Products that never existed: their images look alike, and no two products do."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from blemish.procedural.seeding import generator


@pytest.fixture(scope="module")
def tool(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("tools/random_products.py")


def test_images_depend_on_seed_product_and_number_alone(tool: ModuleType) -> None:
    first = tool.random_product(3, 1, 64)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, tool.random_product(3, 1, 64))
    others = [tool.random_product(3, 2, 64), tool.random_product(4, 1, 64), tool.random_product(3, 1, 64, seed=1)]
    assert not any(np.array_equal(first, other) for other in others)


def test_images_of_one_product_are_more_alike_than_those_of_two(tool: ModuleType) -> None:
    colours = np.stack(
        [[tool.random_product(number, index, 48).mean(axis=(0, 1)) for index in range(2)] for number in range(16)]
    )
    within = np.linalg.norm(colours[:, 0] - colours[:, 1], axis=1)
    between = np.linalg.norm(colours[:, 0] - np.roll(colours[:, 0], 1, axis=0), axis=1)
    assert np.median(within) < 0.3 * np.median(between)


def test_few_numbers_are_the_familys_and_many_ones_own(tool: ModuleType) -> None:
    def kin(number: int) -> object:
        return tool.Kin(generator(0, "family"), generator(0, "own", number))

    one, other = kin(0), kin(1)
    for draw in (
        lambda rng: rng.uniform(0, 1, size=5),
        lambda rng: rng.normal(),
        lambda rng: rng.choice([1, 2, 3]),
        lambda rng: rng.integers(10, size=3),
        lambda rng: rng.permutation(8),
    ):
        np.testing.assert_array_equal(draw(one), draw(other))
    for draw in (
        lambda rng: rng.random((10, 10), dtype=np.float32),
        lambda rng: rng.standard_normal((50,), dtype=np.float32),
        lambda rng: rng.normal(0, 1, size=(9, 9)),
        lambda rng: rng.random(size=100),
    ):
        assert not np.array_equal(draw(one), draw(other))
