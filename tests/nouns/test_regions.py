from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blemish.regions import connected, find_parts, find_regions, label

pytestmark = pytest.mark.core

EIGHT = np.ones((3, 3))
masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=14))
non_empty_masks = masks.filter(lambda mask: bool(mask.any()))


def picture(text: str) -> NDArray[np.bool_]:
    """A mask drawn in characters: '#' is true, rows are separated by blanks."""
    return np.array([[character == "#" for character in row] for row in text.split()])


def comb(size: int) -> NDArray[np.bool_]:
    mask = np.zeros((size, size), dtype=bool)
    mask[:, ::2] = True
    mask[-1] = True
    return mask


@given(masks)
def test_label_equals_scipy(mask: NDArray[np.bool_]) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    labels, count = label(mask)
    expected, expected_count = ndimage.label(mask, EIGHT)
    assert count == expected_count
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("density", [0.02, 0.3, 0.5, 0.9])
def test_label_equals_scipy_on_large_masks(density: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    mask = np.random.default_rng(3).random((97, 131)) < density
    np.testing.assert_array_equal(label(mask)[0], ndimage.label(mask, EIGHT)[0])


@pytest.mark.parametrize("mask", [comb(60), comb(60)[::-1], comb(60).T, comb(60).T[::-1]])
def test_a_comb_is_one_part(mask: NDArray[np.bool_]) -> None:
    assert label(mask)[1] == 1


def test_rows_do_not_wrap_round() -> None:
    labels, count = label(picture("...# #... ...#"))
    assert count == 3
    assert labels[0, 3] == 1
    assert labels[1, 0] == 2
    assert labels[2, 3] == 3


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (3, 4)])
def test_nothing_to_label(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, dtype=bool)
    labels, count = label(mask)
    assert (labels.shape, count) == (shape, 0)
    assert find_regions(np.zeros(shape, np.float32), mask, (10, 10)) == ()


def inside(polygon: tuple[tuple[float, float], ...], shape: tuple[int, int], fine: int) -> NDArray[np.bool_]:
    """Whether each pixel's centre lies in a polygon given on a grid `fine` times as fine."""
    canvas = Image.new("1", (shape[1] * fine, shape[0] * fine))
    ImageDraw.Draw(canvas).polygon(polygon, fill=1)
    return np.asarray(canvas)[fine // 2 :: fine, fine // 2 :: fine]


@given(non_empty_masks)
def test_regions_agree_with_the_mask(mask: NDArray[np.bool_]) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    height, width = mask.shape
    fine = 64
    anomaly_map = np.random.default_rng(0).random(mask.shape, dtype=np.float32)
    regions = find_regions(anomaly_map, mask, (width * fine, height * fine))
    labels, count = label(mask)
    assert len(regions) == count
    assert sum(region.area for region in regions) == mask.sum() * fine**2
    assert [region.score for region in regions] == sorted((region.score for region in regions), reverse=True)
    for region in regions:
        y, x = (int(v[0]) for v in np.nonzero((anomaly_map == np.float32(region.score)) & mask))
        part = labels == labels[y, x]
        assert region.score == anomaly_map[part].max()
        assert region.area == part.sum() * fine**2
        ys, xs = np.nonzero(part)
        assert region.box == tuple(fine * v for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        np.testing.assert_array_equal(
            inside(region.polygon, mask.shape, fine),
            ndimage.binary_fill_holes(part),
        )


@given(non_empty_masks)
def test_outlines_are_clockwise_and_not_closed(mask: NDArray[np.bool_]) -> None:
    for region in find_regions(np.zeros(mask.shape, np.float32), mask, (mask.shape[1], mask.shape[0])):
        x, y = np.array(region.polygon).T
        assert len(x) >= 3
        assert region.polygon[0] != region.polygon[-1]
        # The shoelace sum is positive for a clockwise walk when y points down.
        assert np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) > 0


def test_a_long_straight_edge_needs_few_points() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:35, 10:50] = True
    (region,) = find_regions(np.ones(mask.shape, np.float32), mask, (60, 40))
    assert len(region.polygon) <= 8


def test_original_pixels() -> None:
    mask = picture(".... .##. ....")
    (region,) = find_regions(np.ones(mask.shape, np.float32), mask, (10, 9))
    assert region.box == (2, 3, 8, 6)
    assert region.area == pytest.approx(2 * 2.5 * 3)
    assert all(2.5 <= x <= 7.5 and 3 <= y <= 6 for x, y in region.polygon)


def test_boxes_are_never_empty_when_the_original_is_smaller_than_the_map() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[::2, ::2] = True
    for region in find_regions(np.ones(mask.shape, np.float32), mask, (3, 2)):
        left, top, right, bottom = region.box
        assert 0 <= left < right <= 3
        assert 0 <= top < bottom <= 2


def test_small_parts_are_left_out_but_never_the_best() -> None:
    mask = picture("#..## ...## #....")
    anomaly_map = np.where(mask, 1, 0).astype(np.float32)
    anomaly_map[2, 0] = 5
    regions = find_regions(anomaly_map, mask, (5, 3), min_area=2)
    assert [(region.score, region.area) for region in regions] == [(5, 1), (1, 4)]


@given(masks, st.data())
def test_parts_that_hold_a_seed(mask: NDArray[np.bool_], data: st.DataObject) -> None:
    seeds = data.draw(arrays(bool, mask.shape))
    kept = connected(mask, seeds)
    labels, count = label(mask)
    for number in range(1, count + 1):
        part = labels == number
        assert kept[part].all() == kept[part].any() == (seeds & part).any()
    assert not kept[~mask].any()


@given(non_empty_masks)
def test_the_pixels_of_regions_are_the_parts_of_the_mask(mask: NDArray[np.bool_]) -> None:
    values = np.arange(mask.size, dtype=np.float32).reshape(mask.shape)
    found = find_parts(values, mask, mask.shape[::-1])
    pixels = np.stack([part for _, part in found])
    np.testing.assert_array_equal(pixels.any(axis=0), mask)
    assert pixels.sum(axis=0).max() == 1
    for region, part in found:
        assert label(part)[1] == 1
        assert region.area == part.sum()
        assert region.score == values[part].max()
        rows, columns = np.nonzero(part)
        assert region.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    scores = [region.score for region, _ in found]
    assert scores == sorted(scores, reverse=True)
    assert find_regions(values, mask, mask.shape[::-1]) == tuple(region for region, _ in found)


def test_small_parts_are_left_out_unless_they_score_highest() -> None:
    mask = picture("#.... ..... ..### ..### #....")
    values = np.zeros(mask.shape, np.float32)
    values[0, 0], values[4, 0] = 3, 1
    assert [region.area for region, _ in find_parts(values, mask, (5, 5), min_area=3)] == [1, 6]
