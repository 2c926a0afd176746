from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from blemish.data.defects import Marking, Runs, rasterise
from blemish.data.defects.raster import fill_box, fill_parts, fill_polygon
from blemish.data.masks import resize_mask
from blemish.errors import ImageError

pytestmark = pytest.mark.core

COORDINATES = st.floats(-8, 24, allow_nan=False)
POINTS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=8)


def square(left: float, top: float, right: float, bottom: float) -> tuple[tuple[float, float], ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def drawn(mask: Any) -> list[str]:
    return ["".join(".#"[value] for value in row) for row in mask.astype(int)]


def test_a_pixel_belongs_to_the_polygon_that_holds_its_centre() -> None:
    assert drawn(fill_polygon(square(1, 1, 4, 3), (5, 4))) == [".....", ".###.", ".###.", "....."]
    assert drawn(fill_polygon(square(1.4, 1.4, 4.4, 2.6), (5, 4))) == [".....", ".###.", ".###.", "....."]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (square(0.6, 1.6, 3.4, 2.4), [".....", "####.", "####.", "....."]),
        (square(0.2, 1.6, 4.8, 1.9), [".....", "#####", ".....", "....."]),
        (((1.5, 0.2), (1.6, 3.9), (1.7, 0.2)), [".#...", ".#...", ".#...", ".#..."]),
        (((0.2, 0.2), (3.8, 3.8), (0.2, 0.2)), ["#....", ".#...", "..#..", "...#."]),
        (square(4.7, 3.7, 9, 9), [".....", ".....", ".....", "....#"]),
        (((-1e300, 1.6), (1e300, 1.6), (1e300, 1.9)), [".....", "#####", ".....", "....."]),
    ],
)
def test_a_polygon_without_a_centre_keeps_its_outline(points: Any, expected: list[str]) -> None:
    assert drawn(fill_polygon(points, (5, 4))) == expected


def test_a_polygon_that_crosses_itself_is_even_odd() -> None:
    star = [(8 + 7 * math.sin(i * 4 * math.pi / 5), 8 - 7 * math.cos(i * 4 * math.pi / 5)) for i in range(5)]

    mask = fill_polygon(star, (16, 16))

    assert not mask[8, 8]
    assert mask[3, 8]


@given(points=POINTS)
def test_polygons_against_the_ray_of_every_centre(points: list[tuple[float, float]]) -> None:
    mask = fill_polygon(points, (16, 12))

    def crossings(x: float, y: float) -> int:
        count = 0
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * ((x1 - x0) / (y1 - y0)) <= x:
                count += 1
        return count

    inside = np.array([[crossings(c + 0.5, r + 0.5) % 2 == 1 for c in range(16)] for r in range(12)])
    if inside.any():
        assert np.array_equal(mask, inside)
    else:  # its outline, corners included
        corners = {(math.floor(x), math.floor(y)) for x, y in points}
        assert all(mask[y, x] for x, y in corners if 0 <= x < 16 and 0 <= y < 12)


@given(points=st.lists(st.tuples(st.floats(0, 60), st.floats(0, 60)), min_size=3, max_size=3))
def test_the_area_of_a_triangle_within_a_band_of_a_pixel(points: list[tuple[float, float]]) -> None:
    (x0, y0), (x1, y1), (x2, y2) = points
    area = abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)) / 2
    around = sum(math.dist(points[i], points[i - 1]) for i in range(3))

    assert abs(fill_polygon(points, (60, 60)).sum() - area) <= around + 4


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((2, 1, 5, 3), (1, 3), (2, 5)),
        ((2.4, 0.6, 5.4, 3.4), (1, 3), (2, 5)),
        ((2.6, 1, 2.9, 3), (1, 3), (2, 3)),  # between two centres
        ((-5, -5, 100, 100), (0, 6), (0, 8)),
        ((7.8, 0, 20, 6), (0, 6), (7, 8)),  # thinner than a pixel inside
        ((-9, 0, 0.2, 6), (0, 6), (0, 1)),
        ((8, 0, 20, 6), (0, 0), (0, 0)),
        ((-9, 0, 0, 6), (0, 0), (0, 0)),
    ],
)
def test_boxes(box: Any, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    expected = np.zeros((6, 8), dtype=bool)
    expected[slice(*rows), slice(*columns)] = True

    assert np.array_equal(fill_box(box, (8, 6)), expected)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([square(0, 0, 5, 4), square(1, 1, 4, 3)], ["#####", "#...#", "#...#", "#####"]),
        ([square(1, 1, 4, 3), square(0, 0, 5, 4)], ["#####", "#...#", "#...#", "#####"]),
        ([square(0, 0, 5, 4), square(1, 1, 4, 3), square(2, 1, 3, 2)], ["#####", "#.#.#", "#...#", "#####"]),
        ([square(0, 0, 3, 2), square(2, 1, 5, 4)], ["###..", "#####", "..###", "..###"]),
        ([square(0, 0, 1, 1), square(4, 3, 5, 4)], ["#....", ".....", ".....", "....#"]),
        ([square(0, 0, 2, 2), square(0, 0, 2, 2)], ["##...", "##...", ".....", "....."]),
        ([square(0, 0, 2, 2), square(9, 9, 12, 12)], ["##...", "##...", ".....", "....."]),
    ],
    ids=["hole", "hole named first", "island", "overlap", "apart", "twice", "outside"],
)
def test_several_outlines(parts: Any, expected: list[str]) -> None:
    assert drawn(fill_parts(parts, (5, 4))) == expected


TRUTH = np.zeros((30, 40), dtype=bool)
TRUTH[10:20, 12:13] = True


@pytest.mark.parametrize("kind", ["mask", "runs", "polygon", "box"])
@pytest.mark.parametrize("size", [8, 30, 64])
def test_every_kind_of_marking_follows_the_area_rule(tmp_path: Path, kind: str, size: int) -> None:
    Image.fromarray(TRUTH).save(tmp_path / "m.png")
    values: dict[str, Any] = {
        "mask": tmp_path / "m.png",
        "runs": Runs.of(TRUTH),
        "polygon": square(12, 10, 13, 20),
        "box": (12, 10, 13, 20),
    }

    found = rasterise(Marking("cut", **{kind: values[kind]}), (40, 30), size)

    assert found is not None
    assert found.dtype == np.bool_
    assert np.array_equal(found, resize_mask(TRUTH, size))
    assert found.any()


@given(points=POINTS, size=st.integers(1, 12))
def test_a_marking_in_the_image_never_vanishes(points: list[tuple[float, float]], size: int) -> None:
    xs, ys = zip(*points, strict=True)
    box = (min(xs), min(ys), max(xs), max(ys))
    reaches = box[0] < 16 and box[1] < 12 and box[2] > 0 and box[3] > 0

    assert (rasterise(Marking("cut", box=box), (16, 12), size) is not None) == reaches
    if any(0 <= x < 16 and 0 <= y < 12 for x, y in points):
        assert rasterise(Marking("cut", polygon=tuple(points)), (16, 12), size) is not None


def test_a_marking_without_a_place() -> None:
    assert rasterise(Marking("cut"), (40, 30), 8) is None
    assert rasterise(Marking("cut", runs=Runs((4, 4), (16,))), (40, 30), 8) is None
    assert rasterise(Marking("cut", box=(50, 0, 60, 9)), (40, 30), 8) is None


def test_a_mask_of_another_size_is_laid_over_the_whole_image() -> None:
    runs = Runs.of(np.kron(TRUTH, np.ones((2, 2), dtype=bool)))

    assert np.array_equal(rasterise(Marking("cut", runs=runs), (40, 30), 10), resize_mask(TRUTH, 10))


def test_a_mask_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no file .*m\.png"):
        rasterise(Marking("cut", mask=tmp_path / "m.png"), (40, 30), 8)
