"""From logits to names: areas vote, and what no category claims with certainty is unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from blemish.inspection import UNKNOWN_DEFECT, UNKNOWN_PRODUCT, Inspection, Region
from blemish.naming import Claims, distinct, named, voted, with_names

pytestmark = pytest.mark.core

NAMES = ("cut", "dent", "stain")
ALL = np.ones((4, 4), np.bool_)
logit_maps = arrays(np.float32, (3, 4, 4), elements=st.floats(-90, 90, width=32))
areas = arrays(np.bool_, (4, 4)).filter(lambda mask: bool(mask.any()))


def claims(*logits: float) -> Claims:
    """The same logits everywhere."""
    return Claims(NAMES[: len(logits)], np.tile(np.array(logits, np.float32)[:, None, None], (1, 4, 4)))


@pytest.mark.parametrize(
    ("logits", "scores"),
    [
        ((0.0, 0.0), (0.5, 0.5)),
        ((-5.0, -5.0), (0.25, 0.25)),
        ((20.0, 20.0), (0.5, 0.5)),
        ((-20.0, -20.0), (0.0, 0.0)),
        ((math.log(3), 0.0), (0.75, 0.25)),
        ((40.0, 0.0), (1.0, 0.0)),
        ((500.0, -500.0), (1.0, 0.0)),
        ((7.0,), (1.0,)),
    ],
)
def test_scores(logits: tuple[float, ...], scores: tuple[float, ...]) -> None:
    found = claims(*logits).scores(ALL)
    assert list(found) == list(NAMES[: len(logits)])
    assert list(found.values()) == pytest.approx(scores, abs=1e-3)


@given(logit_maps, areas)
def test_scores_divide_at_most_one(logits: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
    scores = Claims(NAMES, logits).scores(mask)
    assert all(0 <= value <= 1 for value in scores.values())
    assert sum(scores.values()) <= 1 + 1e-9


@given(logit_maps, areas)
def test_only_the_area_counts(logits: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
    other = np.where(mask, logits, -logits[::-1])
    assert Claims(NAMES, logits).scores(mask) == Claims(NAMES, other).scores(mask)


def test_an_area_is_named_where_the_evidence_is_strong() -> None:
    logits = np.full((2, 4, 4), -9.0, np.float32)
    logits[1] = -5.0  # the edge leans to a dent, but is hardly a defect
    logits[:, :2, :2] = np.array([9.0, -3.0])[:, None, None]
    mask = np.zeros((4, 4), np.bool_)
    mask[:2, :3] = True
    scores = Claims(("cut", "dent"), logits).scores(mask)
    assert scores["cut"] > 0.9
    assert scores["dent"] < 0.01


def test_what_is_surely_a_defect_counts_more_than_what_may_be_one() -> None:
    logits = np.tile(np.array([-5.0, -1.0], np.float32)[:, None, None], (1, 4, 4))
    logits[:, 0, 0] = 12.0, 6.0
    scores = Claims(("cut", "dent"), logits).scores(ALL)
    assert scores["cut"] > 0.99
    assert scores["dent"] < 0.01


def test_detection_is_the_mean_logit() -> None:
    one = claims(3.0, -2.0)
    np.testing.assert_allclose(one.detection, 0.5)
    assert one.detection.dtype == np.float32


def test_a_finding_fits_what_is_claimed_and_another_kind_of_defect_stays_whole() -> None:
    logits = np.full((1, 3, 9), -9.0, np.float32)
    logits[0, 1, 1:4] = -4.0, 2.0, -4.0
    logits[0, :, 8] = 2.0  # outside the region of interest
    mask = np.zeros((3, 9), np.bool_)
    mask[:, 2] = mask[0, 5:8] = True
    within = np.ones((3, 9), np.bool_)
    within[:, 8] = False
    expected = np.zeros((3, 9), np.bool_)
    expected[1, 1:4] = expected[0, 5:8] = True
    assert (Claims(("cut",), logits).fitted(mask, within) == expected).all()


def test_logits_are_upsampled_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    coarse = np.random.default_rng(0).normal(size=(3, 5, 5)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(coarse)[None], size=(20, 20), mode="bilinear")[0]
    np.testing.assert_allclose(Claims.of(NAMES, coarse, 20).logits, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("scores", "certainty", "name"),
    [
        ({"cut": 0.6, "dent": 0.3}, 0.5, "cut"),
        ({"cut": 0.5, "dent": 0.5}, 0.5, "cut"),  # the first of two equal ones
        ({"cut": 0.4, "dent": 0.45}, 0.5, UNKNOWN_DEFECT),
        ({"cut": 0.0}, 0.0, "cut"),
    ],
)
def test_named(scores: dict[str, float], certainty: float, name: str) -> None:
    assert named(scores, certainty) == name


def test_a_name_that_two_products_share_has_one_embedding() -> None:
    assert distinct({"bolt": ("dent", "cut"), "nut": ("cut", "stain"), "cap": ()}) == ("dent", "cut", "stain")
    assert distinct({}) == ()


def test_large_regions_have_more_votes() -> None:
    scores = voted([30, 10], [{"cut": 0.8, "dent": 0.0}, {"cut": 0.0, "dent": 0.8}])
    assert scores == pytest.approx({"cut": 0.6, "dent": 0.2})


def inspection(*boxes: tuple[int, int, int, int]) -> tuple[Inspection, list[NDArray[np.bool_]]]:
    """Regions over boxes of a 4×4 map: left, top, right, bottom."""
    parts, regions = [], []
    for left, top, right, bottom in boxes:
        part = np.zeros((4, 4), np.bool_)
        part[top:bottom, left:right] = True
        parts.append(part)
        outline = ((left, top), (right, top), (right, bottom), (left, bottom))
        regions.append(Region((left, top, right, bottom), outline, float(part.sum()), 1.0))
    found = Inspection(
        score=1.0,
        p_value=0.1,
        defective=bool(boxes),
        product="bolt",
        similarity=1.0,
        anomaly_map=np.zeros((4, 4), np.float32),
        mask=np.any(parts, axis=0) if parts else np.zeros((4, 4), np.bool_),
        size=(4, 4),
        requested_rate=None,
        effective_rate=None,
        regions=tuple(regions),
    )
    return found, parts


def test_every_region_gets_its_name_and_the_image_that_of_most_of_its_area() -> None:
    logits = np.full((2, 4, 4), -9.0, np.float32)
    logits[0, :, :1], logits[1, :, 2:] = 30.0, 30.0
    found, parts = inspection((0, 0, 1, 4), (2, 0, 4, 4))
    done = with_names(found, parts, Claims(("cut", "dent"), logits), 0.5)
    assert [region.category for region in done.regions] == ["cut", "dent"]
    assert done.category == "dent"
    assert done.categories == ("cut", "dent")
    assert done.category_scores == pytest.approx({"cut": 1 / 3, "dent": 2 / 3}, abs=0.01)
    assert done.category_map is not None
    assert done.category_map.tolist() == [[0, -1, 1, 1]] * 4


def test_what_no_category_claims_is_unknown() -> None:
    found, parts = inspection((0, 0, 2, 2))
    done = with_names(found, parts, claims(-9.0, -9.0), 0.5)
    assert done.regions[0].category == done.category == UNKNOWN_DEFECT
    assert done.category_map is not None
    assert (done.category_map == -1).all()


def test_a_normal_image_has_no_category() -> None:
    found, parts = inspection()
    done = with_names(found, parts, claims(9.0, 9.0), 0.5)
    assert (done.category, done.category_scores, done.categories) == (None, {}, ("cut", "dent"))
    assert done.category_map is not None
    assert (done.category_map == -1).all()
    assert done.product != UNKNOWN_PRODUCT
