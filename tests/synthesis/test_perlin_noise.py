"""Perlin noise: value at lattice points, range, scale."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.procedural.seeding import generator
from blemish.synthesis.perlin import fractal_perlin, perlin_noise


@pytest.mark.parametrize("resolution", [(2, 2), (4, 32), (7, 3)])
def test_it_vanishes_at_lattice_points_and_keeps_its_range(resolution: tuple[int, int]) -> None:
    size = 224
    noise = perlin_noise(size, resolution, generator(0, "test"))
    assert noise.shape == (size, size)
    assert noise.dtype == np.float32
    assert np.abs(noise).max() <= 1.01
    assert np.abs(noise).max() > 0.5
    rows, columns = (np.arange(1, cells) * size // cells for cells in resolution)
    slope = np.sqrt(2) * max(resolution) / size * 2
    assert np.abs(noise[np.ix_(rows, columns)]).max() <= 2 * slope


def test_it_is_the_textbook_sum_over_four_corners() -> None:
    size, cells = 16, 2
    noise = perlin_noise(size, (cells, cells), generator(3, "test"))
    angle = generator(3, "test").uniform(0, 2 * np.pi, size=(cells + 1, cells + 1))

    def fade(t: float) -> float:
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    for row, column in ((0, 0), (3, 9), (8, 8), (15, 2)):
        y, x = ((row + 0.5) * cells / size, (column + 0.5) * cells / size)
        total = 0.0
        for j in (int(y), int(y) + 1):
            for i in (int(x), int(x) + 1):
                weight = fade(1 - abs(y - j)) * fade(1 - abs(x - i))
                total += weight * (np.sin(angle[j, i]) * (y - j) + np.cos(angle[j, i]) * (x - i))
        assert noise[row, column] == pytest.approx(np.sqrt(2) * total, abs=1e-5)


@pytest.mark.parametrize(("cells", "stretch"), [(1, 1), (6, 1), (12, 3)])
def test_octaves_fill_their_range(cells: int, stretch: int) -> None:
    noise = fractal_perlin(48, cells, generator(1, "test"), stretch=stretch)
    assert (noise.shape, noise.dtype) == ((48, 48), np.float32)
    assert (noise.min(), noise.max()) == (0, 1)
    np.testing.assert_array_equal(noise, fractal_perlin(48, cells, generator(1, "test"), stretch=stretch))


def test_more_cells_than_pixels_are_no_noise() -> None:
    assert not fractal_perlin(8, 5, generator(1, "test")).any()
