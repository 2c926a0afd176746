"""The shape library: areas, placing, and what happens where a shape does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from blemish.data.priors.names import FAMILIES, SHAPE_NAMES
from blemish.errors import SynthesisError
from blemish.procedural.seeding import generator
from blemish.synthesis.shapes import SHAPES, contact_sheet, shapes_of
from blemish.synthesis.shapes.raster import box, closed, ellipse, smoothed
from blemish.synthesis.shapes.shape import TRIES, Shape

SIZE = 128
EVERYWHERE = np.ones((SIZE, SIZE), dtype=np.bool_)


def areas(name: str, draws: int = 12) -> list[float]:
    shape = SHAPES[name]
    return [float(shape(SIZE, EVERYWHERE, generator(0, name, step)).mean()) for step in range(draws)]


def test_there_is_one_shape_for_every_name_that_a_priors_file_may_use() -> None:
    assert tuple(SHAPES) == SHAPE_NAMES
    assert {shape.name for shape in SHAPES.values()} == set(SHAPE_NAMES)
    assert len(SHAPES) == 3 * 8 + 4 + 2


@pytest.mark.parametrize(
    ("name", "low", "high"),
    # from half of the least nominal area, cut by the border, to twice the greatest (twos); ellipses are π times larger
    [
        ("rectangle-large", 0.025, 0.11),
        ("rectangle-medium", 0.005, 0.045),
        ("rectangle-small", 0.002, 0.025),
        ("line-large", 0.004, 0.025),
        ("line-medium", 0.002, 0.015),
        ("polygon-large", 0.003, 0.03),
        ("ellipse-circular-large", 0.015, 0.1),
        ("ellipse-circular-small", 0.0002, 0.008),
        ("ellipse-eccentric-medium", 0.005, 0.03),
        ("hollow-circular-medium", 0.004, 0.04),
        ("whole", 1, 1),
    ],
)
def test_areas_are_those_of_the_paper(name: str, low: float, high: float) -> None:
    drawn = areas(name)
    assert low <= min(drawn)
    assert max(drawn) <= high


@pytest.mark.parametrize("family", [family for family, sizes in FAMILIES.items() if len(sizes) > 1])
def test_sizes_are_in_order(family: str) -> None:
    means = [np.mean(areas(f"{family}-{size}")) for size in FAMILIES[family]]
    if family == "perlin":  # there the size is that of one speck
        means = [
            np.mean([mask.sum() / label(mask)[1] for mask in masks])
            for masks in (
                [SHAPES[f"perlin-{size}"](SIZE, EVERYWHERE, generator(1, "specks", step)) for step in range(6)]
                for size in FAMILIES[family]
            )
        ]
    assert means == sorted(means, reverse=True)


@settings(max_examples=60)
@given(name=st.sampled_from(SHAPE_NAMES), seed=st.integers(0, 10**6), size=st.integers(32, 96))
def test_a_mask_keeps_to_the_foreground_and_depends_on_the_draw_alone(name: str, seed: int, size: int) -> None:
    foreground = np.zeros((size, size), dtype=np.bool_)
    foreground[size // 4 : -size // 8, size // 6 : -size // 6] = True
    shape = SHAPES[name]

    mask = shape(size, foreground, generator(seed, name))

    assert mask.shape == foreground.shape
    assert mask.dtype == np.bool_
    assert not (mask & ~foreground).any()
    assert mask.sum() >= max(1, shape.cover * foreground.sum())
    assert (mask == shape(size, foreground, generator(seed, name))).all()


def test_the_same_shape_at_another_size_covers_the_same_share() -> None:
    for name in ("rectangle-medium", "brush-large", "hollow-circular-large"):
        shares = [
            np.mean(
                [SHAPES[name](size, np.ones((size, size), np.bool_), generator(5, name, n)).mean() for n in range(8)]
            )
            for size in (96, 192)
        ]
        assert shares[0] == pytest.approx(shares[1], rel=0.35)


@pytest.mark.parametrize("name", ["long-line", "ellipse-circular-small", "brush-tiny"])
def test_small_shapes_and_long_lines_come_in_twos_at_times(name: str) -> None:
    counts = {label(SHAPES[name](256, np.ones((256, 256), np.bool_), generator(3, name, n)))[1] for n in range(24)}
    assert 2 in counts


def test_a_shape_that_never_fits_ends_in_an_error() -> None:
    drawn = 0

    def draw(size: int, _: object, __: object) -> np.ndarray:
        nonlocal drawn
        drawn += 1
        mask = np.zeros((size, size), dtype=np.bool_)
        mask[0, 0] = True
        return mask

    with pytest.raises(
        SynthesisError, match=r"'dot' has no place: in 100 draws .* 0\.0\d% of the foreground"
    ) as caught:
        Shape("dot", draw, cover=0.5)(SIZE, EVERYWHERE, generator(0, "dot"))
    assert drawn == TRIES
    assert "foreground 'none'" in caught.value.remedy


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_an_empty_foreground_is_an_error(name: str) -> None:
    with pytest.raises(SynthesisError, match=f"'{name}' has no place: the foreground is empty"):
        SHAPES[name](SIZE, ~EVERYWHERE, generator(0, "none"))


def test_a_foreground_of_one_pixel_takes_what_is_drawn_around_it() -> None:
    foreground = np.zeros((SIZE, SIZE), dtype=np.bool_)
    foreground[60, 70] = True
    for name in ("rectangle-large", "brush-tiny", "whole"):
        assert (SHAPES[name](SIZE, foreground, generator(0, name)) == foreground).all()


def test_a_foreground_of_another_size_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="bool foreground of 64×64"):
        SHAPES["whole"](64, EVERYWHERE, generator(0, "x"))


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([64, 256, 512, 683]))
def test_closing_only_adds_and_repeating_it_changes_nothing(seed: int, size: int) -> None:
    mask = generator(seed, "closing").random((size, size)) > 0.97
    once = closed(mask, size)
    assert (once | mask == once).all()
    assert (closed(once, size) == once).all()


def test_closing_bridges_gaps_below_six_nominal_pixels() -> None:
    mask = np.zeros((512, 512), dtype=np.bool_)
    mask[100:140, 100:140] = mask[100:140, 144:184] = mask[100:140, 200:240] = True
    row = closed(mask, 512)[120]
    assert row[100:184].all()
    assert not row[185:199].any()


def test_coverage_of_box_and_ellipse() -> None:
    centre = (64.0, 64.0)
    assert box(SIZE, centre, (20, 40), 0.4).sum() == pytest.approx(800, rel=0.02)
    assert ellipse(SIZE, centre, (12, 30), 1.1).sum() == pytest.approx(np.pi * 360, rel=0.03)
    assert box(SIZE, centre, (0.1, 60), 0.0).max() == 1, "a line is at least one pixel wide"


@pytest.mark.parametrize("kernel", [3, 7, 21])
def test_smoothing_keeps_the_thinnest_line(kernel: int) -> None:
    line = box(SIZE, (64.0, 64.0), (1, 60), 0.3)
    assert smoothed(line, kernel, 512)[64].any()


def test_names_of_families_and_groups() -> None:
    assert [shape.name for shape in shapes_of(["line"], ["small", "medium"])] == ["line-medium", "line-small"]
    assert len(shapes_of(["ellipse"])) == 6


def test_the_contact_sheet_depends_on_the_seed_alone() -> None:
    first = contact_sheet(64, 1)
    assert first.size == contact_sheet(64, 1).size
    assert (np.asarray(first) == np.asarray(contact_sheet(64, 1))).all()
    assert (np.asarray(first) != np.asarray(contact_sheet(64, 2))).any()
