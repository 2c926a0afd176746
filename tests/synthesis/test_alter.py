"""Altered images keep their defects in place, their greys grey, and invent no category."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from blemish.procedural.seeding import generator
from blemish.synthesis.alter import alter, relit, section

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int16]


def scene(size: int = 40, seed: int = 0) -> tuple[Pixels, Labels]:
    """Dark ground, and white squares labelled 0 and 300."""
    image = np.random.default_rng(seed).integers(40, 60, (size, size, 3)).astype(np.uint8)
    labels = np.full((size, size), -1, np.int16)
    labels[size // 4 : size // 2, size // 4 : size // 2], labels[-size // 4 :, -size // 4 :] = 0, 300
    image[labels >= 0] = 255
    return image, labels


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from([8, 9, 40, 64]))
def test_an_altered_image(seed: int, size: int) -> None:
    image, labels = scene(size)
    before = image.copy(), labels.copy()
    found, marked = alter(image, labels, generator(seed, "test"))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])
    assert (found.dtype, found.shape) == (np.uint8, image.shape)
    assert (marked.dtype, marked.shape) == (np.int16, labels.shape)
    assert set(np.unique(marked)) <= {-1, 0, 300}
    again = alter(image, labels, generator(seed, "test"))
    np.testing.assert_array_equal(again[0], found)
    np.testing.assert_array_equal(again[1], marked)


@pytest.mark.parametrize("seed", range(12))
def test_labels_move_with_their_defects(seed: int) -> None:
    found, marked = alter(*scene(64), generator(seed, "test"))
    inside, outside = found[marked >= 0], found[marked < 0]
    if len(inside):
        assert np.quantile(inside, 0.2) > np.quantile(outside, 0.9)


@given(st.integers(0, 10**6))
def test_grey_stays_grey(seed: int) -> None:
    image, labels = scene()
    grey = np.repeat(image[..., :1], 3, axis=2)
    found, _ = alter(grey, labels, generator(seed, "test"))
    assert (found == found[..., :1]).all()


def test_draws_differ() -> None:
    assert len({alter(*scene(), generator(seed, "test"))[0].tobytes() for seed in range(20)}) == 20


@pytest.mark.parametrize("value", [0, 255])
def test_light_keeps_to_the_range(value: int) -> None:
    flat = np.full((16, 16, 3), value, np.uint8)
    for seed in range(10):
        found = relit(flat, generator(seed, "test"))
        assert abs(float(found.mean()) - value) < 128


def test_light_is_uneven_only_where_asked() -> None:
    flat = np.full((64, 64, 3), 100, np.uint8)

    def spread(shading: float, seed: int) -> float:
        found = relit(flat, generator(seed, "test"), shading).astype(np.float64)
        return float(found.reshape(4, 16, 4, 16, 3).mean(axis=(1, 3, 4)).std() / found.mean())

    assert max(spread(0, seed) for seed in range(20)) < 0.005
    assert max(spread(0.3, seed) for seed in range(20)) > 0.05


def test_a_section_may_lose_a_defect_and_never_makes_one() -> None:
    image, labels = scene(64)
    labels[labels == 0] = -1
    labels[62:, 62:] = 5
    lost = [5 not in section(image, labels, generator(seed, "test"))[1] for seed in range(30)]
    assert any(lost)
    assert not all(lost)
