from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pydantic import ValidationError

from blemish.calibration import Calibration, FusionWeights, ProductCalibration
from blemish.errors import BlemishError, ConfigError, ModelError
from blemish.regions import label

pytestmark = pytest.mark.core

finite = st.floats(-1e6, 1e6, width=32)
few_values = st.integers(0, 4).map(float)
rates = st.floats(1e-4, 0.999)


def calibration(scores: list[float], rate: float = 0.01, **fields: object) -> ProductCalibration:
    values: dict[str, object] = {"peaks": scores, "similarities": [0.9] * len(scores), **fields}
    return ProductCalibration(scores=scores, false_alarm_rate=rate, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "requested", "effective", "threshold"),
    [
        (1, 0.01, 1 / 2, 0),
        (20, 0.01, 1 / 21, 19),
        (99, 0.01, 1 / 100, 98),
        (98, 0.01, 1 / 99, 97),
        (199, 0.01, 2 / 200, 197),
        (198, 0.01, 1 / 199, 197),
        (99, 0.29, 29 / 100, 70),
        (4, 0.999, 4 / 5, 0),
    ],
)
def test_rates_and_threshold(n: int, requested: float, effective: float, threshold: float) -> None:
    product = calibration([float(i) for i in range(n)], requested)
    assert product.finest_rate == 1 / (n + 1)
    assert product.effective_rate == pytest.approx(effective)
    assert product.threshold == product.pixel_threshold == threshold
    assert not product.defective(threshold)
    assert product.defective(threshold + 0.5)


@given(st.lists(finite | few_values, min_size=1, max_size=40), rates, finite | few_values)
def test_verdict_is_the_p_value_against_the_effective_rate(scores: list[float], rate: float, score: float) -> None:
    product = calibration(scores, rate)
    for s in [score, *scores]:
        p = product.p_value(s)
        assert p == (1 + sum(other >= s - 1e-5 * abs(s) for other in scores)) / (len(scores) + 1)
        assert product.defective(s) == (p <= product.effective_rate)


def test_nothing_up_to_the_floor_is_defective() -> None:
    product = calibration([1.0, 2.0, 3.0], 0.3)
    raised = product.model_copy(update={"floor": 5.0})
    lowered = product.model_copy(update={"floor": -5.0})
    assert (product.threshold, raised.threshold, lowered.threshold) == (3.0, 5.0, 3.0)
    assert (raised.pixel_threshold, raised.defective(5.0), raised.defective(5.5)) == (5.0, False, True)
    assert raised.p_value(4.0) == product.p_value(4.0)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_rounding_changes_no_verdict(scale: float) -> None:
    product = calibration([1.0 * scale, 2.0 * scale, 3.0 * scale], 0.3)
    for score in (1.0, 2.0, 3.0):
        for rounded in (0.999999, 1.0, 1.000001):
            assert product.p_value(score * scale * rounded) == product.p_value(score * scale)
            assert not product.defective(score * scale * rounded)
    assert product.defective(3.0001 * scale)


@given(st.lists(finite, min_size=1, max_size=20), rates, st.lists(finite, min_size=2, max_size=9))
def test_p_values_never_rise_with_the_score(scores: list[float], rate: float, others: list[float]) -> None:
    product = calibration(scores, rate)
    p_values = [product.p_value(score) for score in sorted(others)]
    assert p_values == sorted(p_values, reverse=True)
    assert all(0 < p <= 1 for p in p_values)


@given(st.lists(finite, min_size=1, max_size=40), rates)
def test_every_rule_can_flag(scores: list[float], rate: float) -> None:
    product = calibration(scores, rate)
    assert product.defective(max(scores) + 1e-4 * abs(max(scores)) + 1e-9)
    assert product.effective_rate <= max(rate, product.finest_rate) + 1e-12


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "rate"), [(5, 0.01), (19, 0.1), (60, 0.05)])
def test_false_alarms_keep_the_promise(n: int, rate: float, ties: bool) -> None:
    rng = np.random.default_rng([n, ties])
    trials = 1500
    draws = rng.gamma(2, size=(trials, n + 1))
    if ties:
        draws = np.floor(4 * draws)
    alarms = 0
    for *scores, new in draws:
        product = calibration(scores, rate)
        alarms += product.defective(new)
    expected = product.effective_rate
    error = 4 * np.sqrt(expected * (1 - expected) / trials)
    assert alarms / trials <= expected + error
    if not ties:  # without ties the promise is met exactly, not only kept
        assert alarms / trials >= expected - error


def test_without_calibration_images_nothing_is_decided() -> None:
    product = Calibration(products={"screw": ProductCalibration()})["screw"]
    assert (product.n, product.finest_rate) == (0, 1)
    assert product.known(-1)
    for decide in (product.defective, product.p_value):
        with pytest.raises(ModelError, match=r"'screw' has no calibration images.*blemish calibrate MODEL ok-images/"):
            decide(3.0)
    with pytest.raises(ModelError):
        product.mask(np.ones((2, 2), np.float32), True)


@pytest.mark.parametrize(
    ("similarities", "similarity", "known"),
    [
        ([0.9, 0.95], 0.71, True),
        ([0.9, 0.95], 0.69, False),
        ([0.999, 1.0], 0.95, True),
        ([0.999, 1.0], 0.93, False),
        ([1.0], 1.0, True),
    ],
)
def test_known(similarities: list[float], similarity: float, known: bool) -> None:
    product = calibration([1.0] * len(similarities), similarities=similarities)
    assert product.known(similarity) is known


def test_a_prompt_that_is_very_near_does_not_reject_ordinary_images() -> None:
    assert calibration([1.0], similarities=[0.999], smallest_distance=0.2).known(0.41)
    assert not calibration([1.0], similarities=[0.999], smallest_distance=0.2).known(0.39)
    assert not calibration([1.0], similarities=[0.999]).known(0.41)


def test_beyond_the_farthest_distance_all_is_unknown() -> None:
    assert calibration([1.0], similarities=[0.5]).known(-0.4)
    assert calibration([1.0], similarities=[0.5], farthest=0.7).known(0.26)
    assert not calibration([1.0], similarities=[0.55], farthest=0.7).known(0.29)
    assert calibration([1.0], similarities=[0.2], farthest=0.7).known(-0.19)  # a calibration image is as far


def test_unknown_margin() -> None:
    assert not calibration([1.0], similarities=[0.9], unknown_margin=1).known(0.85)


def test_mask_follows_the_pixel_threshold() -> None:
    product = calibration([0.5], peaks=[1.0])
    anomaly_map = np.array([[0.5, 1.0, 2.0], [3.0, 0.0, 0.9]], dtype=np.float32)
    assert product.mask(anomaly_map, True).tolist() == [[False, False, True], [True, False, False]]
    assert not product.mask(anomaly_map, False).any()


def test_mask_without_a_pixel_above_the_threshold_is_the_part_around_the_peak() -> None:
    product = calibration([0.5], peaks=[10.0])
    anomaly_map = np.array([[8.0, 6.1, 0.0, 7.0], [5.9, 0.0, 0.0, 0.0]], dtype=np.float32)
    assert product.mask(anomaly_map, True).tolist() == [[True, True, False, False], [False] * 4]


@given(
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.floats(-4, 8, width=32)),
    st.floats(-4, 8, width=32),
)
def test_a_defective_image_never_has_an_empty_mask(anomaly_map: NDArray[np.float32], peak: float) -> None:
    product = calibration([0.0], peaks=[peak])
    mask = product.mask(anomaly_map, True)
    assert mask.dtype == bool
    assert mask.flat[int(anomaly_map.argmax())]
    if anomaly_map.max() <= peak:
        assert label(mask)[1] == 1


@pytest.mark.parametrize(
    ("product", "statement"),
    [
        (
            calibration([1.0] * 20),
            "requested 1 %, effective 4.8 %: 20 calibration images can promise no finer rate; "
            "defective means above every calibration score",
        ),
        (
            calibration([1.0]),
            "requested 1 %, effective 50 %: 1 calibration image can promise no finer rate; "
            "defective means above every calibration score",
        ),
        (calibration([1.0] * 150), "requested 1 %, effective 0.66 %, from 150 calibration images"),
        (
            ProductCalibration().with_images([1.0] * 4, [1.0] * 4, [1.0] * 4, images=9),
            "requested 1 %, effective 20 %: 9 calibration images of 4 parts can promise no finer rate; "
            "defective means above every calibration score",
        ),
        (ProductCalibration(), "requested 1 %, none promised: no calibration images, hence no verdict"),
        (
            ProductCalibration().with_images([1.0] * 24, [1.0] * 24, [1.0] * 24, copied=1),
            "requested 1 %, none promised: set with 24 altered copies of 1 training image",
        ),
        (
            ProductCalibration().with_images([1.0] * 4, [1.0] * 4, [1.0] * 4, compared=True),
            "requested 1 %, about 20 % to be expected, none promised: 4 normal images, each compared with the others "
            "alone",
        ),
        (
            ProductCalibration().with_images([1.0] * 19, [1.0] * 19, [1.0] * 19, compared=True, fresh=[1.0] * 3),
            "requested 1 %, about 25 % to be expected, none promised: 19 normal images, each compared with the others "
            "alone, of which 3 did not train",
        ),
    ],
)
def test_statement(product: ProductCalibration, statement: str) -> None:
    assert product.statement() == statement
    assert (product.promised_rate is None) == ("none promised" in statement)
    assert product.promised_rate in (None, product.effective_rate)
    again = product.with_images([2.0], [2.0], [1.0])
    assert (again.copied, again.compared, again.promised_rate) == (None, False, 0.5)


@pytest.mark.parametrize(
    ("rate", "fresh", "expected"),
    [
        (0.05, (), 0.05),
        (0.05, (99.0, 98.0, 50.0), 0.75),  # two are above 95, the fifth highest of 99
        (0.05, (95.0, 10.0, 1.0), 0.25),
        (0.05, (96.0, 97.0, 98.0), 1.0),
        (0.05, tuple(range(1, 50)), 0.05),
        (0.5, (1.0, 2.0, 3.0), 0.5),
    ],
)
def test_images_that_did_not_train_may_bear_out_a_coarser_rate_only(
    rate: float, fresh: tuple[float, ...], expected: float
) -> None:
    scores = [float(score) for score in range(1, 100)]
    one = ProductCalibration(false_alarm_rate=rate).with_images(scores, scores, [1.0] * 99, compared=True, fresh=fresh)
    assert one.expected_rate == pytest.approx(expected)
    assert one.with_rate(0.5).expected_rate >= 0.5
    again = one.with_images(scores, scores, [1.0] * 99)
    assert (again.fresh, again.expected_rate) == ((), again.effective_rate)


@pytest.mark.parametrize(
    "fields",
    [
        {"false_alarm_rate": 0},
        {"false_alarm_rate": 1},
        {"unknown_margin": 0},
        {"scores": [float("nan")], "peaks": [1], "similarities": [1]},
        {"scores": [1, 2], "peaks": [1], "similarities": [1]},
        {"thresholds": [1]},
    ],
)
def test_invalid_fields(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProductCalibration(**fields)  # type: ignore[arg-type]


def test_values_are_sorted_whatever_they_come_in() -> None:
    product = ProductCalibration(
        scores=np.array([3, 1, 2], np.float32),  # type: ignore[arg-type]
        peaks=[5, 4, 6],  # type: ignore[arg-type]
        similarities=(0.9, 0.7, 0.8),
    )
    assert product.scores == (1, 2, 3)
    assert product.peaks == (4, 5, 6)
    assert product.similarities == (0.7, 0.8, 0.9)


def two_products() -> Calibration:
    return Calibration(
        products={
            "nut": calibration(
                [0.1, 1 / 3], fusion=FusionWeights(reconstruction=0.5, refiner=2), intensity_range=(3, 900)
            ),
            "Käse/日本": calibration([]),
        }
    )


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text("old")
    two_products().save(path)
    assert Calibration.load(path) == two_products()
    assert Calibration.load(path)["nut"].product == "nut"
    assert os.listdir(tmp_path) == ["calibration.json"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "calibration.json"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BlemishError, match="disk full"):
        two_products().save(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["calibration.json"]


@pytest.mark.parametrize(
    "text", [None, "", "[]", '{"products": {"a": {"scores": [1]}}}', '{"schema_version": 2}', "\xff"]
)
def test_unusable_files_are_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "calibration.json"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"calibration\.json.*Run: blemish calibrate"):
        Calibration.load(path)


def test_with_rate_changes_one_or_all() -> None:
    both = two_products()
    one = both.with_rate(0.2, "nut")
    assert [p.false_alarm_rate for p in one.products.values()] == [0.2, 0.01]
    assert [p.false_alarm_rate for p in both.with_rate(0.2).products.values()] == [0.2, 0.2]
    assert both["nut"].false_alarm_rate == 0.01
    assert one["nut"].fusion == both["nut"].fusion


@pytest.mark.parametrize("rate", [0, 1, -0.1, 5, float("nan")])
def test_rates_outside_their_range(rate: float) -> None:
    with pytest.raises(ConfigError, match="not between 0 and 1"):
        two_products().with_rate(rate)


def test_unknown_products_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no product 'bolt'.*nut"):
        two_products().with_rate(0.1, "bolt")


def test_with_images_keeps_everything_else() -> None:
    old = two_products()["nut"].with_rate(0.3)
    new = old.with_images([3, 2], [5, 4], [0.8, 0.7])
    assert (new.scores, new.peaks, new.similarities) == ((2, 3), (4, 5), (0.7, 0.8))
    assert (new.fusion, new.intensity_range, new.false_alarm_rate, new.product) == (
        old.fusion,
        (3, 900),
        0.3,
        "nut",
    )
    assert two_products().with_product("nut", new)["nut"] == new
