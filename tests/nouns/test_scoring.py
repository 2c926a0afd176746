"""Fusion of the two maps and the image score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from blemish.calibration import FusionWeights
from blemish.scoring import POOLING_WINDOW, fuse, image_score

pytestmark = pytest.mark.core

Map = NDArray[np.float32]
HEAT = np.array([[0, 1], [2, 3]], np.float32)
CERTAINTY = np.array([[0, 0.5], [0.75, 1]], np.float32)


@st.composite
def maps_and_windows(draw: st.DrawFn) -> tuple[Map, int]:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    values = st.floats(0, 1000, width=32)
    return draw(arrays(np.float32, shape, elements=values)), draw(st.integers(1, min(shape)))


@settings(deadline=None)
@given(maps_and_windows())
def test_image_score_is_the_largest_window_mean(drawn: tuple[Map, int]) -> None:
    anomaly_map, window = drawn
    height, width = anomaly_map.shape
    means = [
        anomaly_map[row : row + window, column : column + window].astype(np.float64).mean()
        for row in range(height - window + 1)
        for column in range(width - window + 1)
    ]
    assert image_score(anomaly_map, window) == pytest.approx(max(means), rel=1e-9, abs=1e-9)


def test_the_papers_window_is_16_and_reaches_the_border() -> None:
    anomaly_map = np.zeros((40, 50), np.float32)
    anomaly_map[-16:, -16:] = 2
    assert POOLING_WINDOW == 16
    assert image_score(anomaly_map) == pytest.approx(2)
    assert image_score(np.roll(anomaly_map, 8, axis=0)) == pytest.approx(1)


def test_one_hot_pixel_counts_little() -> None:
    anomaly_map = np.zeros((32, 32), np.float32)
    anomaly_map[5, 7] = 256
    assert image_score(anomaly_map) == pytest.approx(1)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (FusionWeights(), HEAT),
        (FusionWeights(reconstruction=0, refiner=1), CERTAINTY),
        (FusionWeights(reconstruction=2, refiner=4), 2 * HEAT + 4 * CERTAINTY),
    ],
)
def test_fusion_is_a_weighted_sum(weights: FusionWeights, expected: Map) -> None:
    fused = fuse(HEAT, CERTAINTY, weights)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused, expected)


@given(
    arrays(np.float32, (2, 5), elements=st.floats(0, 2**10, width=32)),
    arrays(np.float32, (2, 5), elements=st.floats(0, 1, width=32)),
    st.floats(0.2, 1),
)
def test_with_a_smaller_exponent_agreement_counts(heat: Map, certainty: Map, exponent: float) -> None:
    """Where one map is silent it is the other one, as in a sum; where both speak it is more than their sum."""
    joined = fuse(heat, certainty, FusionWeights(reconstruction=2, refiner=3, exponent=exponent))
    assert joined.dtype == np.float32
    added = 2 * heat + 3 * certainty
    expected = ((2 * heat.astype(float)) ** exponent + (3 * certainty.astype(float)) ** exponent) ** (1 / exponent)
    np.testing.assert_allclose(joined, expected, rtol=1e-4, atol=1e-30)
    assert (joined >= added * (1 - 1e-4)).all()
    silent = (heat == 0) | (certainty == 0)
    np.testing.assert_allclose(joined[silent], added[silent], rtol=1e-4, atol=1e-30)
    # the detection joins in the same way: at logit −5 it has half of its evidence
    weights = FusionWeights(reconstruction=2, refiner=3, exponent=exponent, detection=1)
    three = fuse(heat, certainty, weights, detection=np.full((2, 5), -5, np.float32))
    np.testing.assert_allclose(three, (expected**exponent + 0.5**exponent) ** (1 / exponent), rtol=1e-4)
    # all that scales both maps scales the fused one, so that a share of another map can be taken from it
    scaled = fuse(heat, certainty, FusionWeights(reconstruction=1, refiner=1.5, exponent=exponent))
    np.testing.assert_allclose(2 * scaled, joined, rtol=1e-4, atol=1e-30)


def test_without_a_refiner_its_weight_means_nothing() -> None:
    np.testing.assert_array_equal(fuse(HEAT, None, FusionWeights(reconstruction=3, refiner=5, evidence=True)), 3 * HEAT)


def test_evidence_is_minus_the_logarithm_of_the_normal_probability() -> None:
    fused = fuse(HEAT, CERTAINTY, FusionWeights(reconstruction=0, refiner=2, evidence=True))
    np.testing.assert_allclose(fused[:1], [[0, 2 * np.log(2)]], rtol=1e-6)
    assert fused[1, 0] == pytest.approx(2 * np.log(4))


def test_evidence_stays_finite_and_in_order_where_the_probability_saturates() -> None:
    certainty = np.array([[0.5, 0.999, 1 - 2.0**-23, 1]], np.float32)
    fused = fuse(np.zeros((1, 4), np.float32), certainty, FusionWeights(refiner=1, evidence=True))
    assert np.isfinite(fused).all()
    assert (np.diff(fused) > 0).all()


@pytest.mark.parametrize("refiner", [None, CERTAINTY])
@pytest.mark.parametrize("evidence", [True, False])
def test_outside_the_region_of_interest_the_map_is_zero(refiner: Map | None, evidence: bool) -> None:
    roi = np.array([[True, False], [False, True]])
    weights = FusionWeights(reconstruction=1, refiner=1, evidence=evidence)
    fused, everywhere = fuse(HEAT + 1, refiner, weights, roi), fuse(HEAT + 1, refiner, weights)
    assert fused.dtype == np.float32
    np.testing.assert_array_equal(fused, np.where(roi, everywhere, 0))
    assert everywhere.min() > 0
