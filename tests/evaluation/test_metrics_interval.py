from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.errors import MissingExtraError
from blemish.evaluation.metrics import Rate, clopper_pearson

binom = pytest.importorskip("scipy.stats").binom


@pytest.mark.parametrize(
    ("k", "n", "expected"),
    [
        (0, 10, (0.0, 0.3084971)),
        (10, 10, (0.6915029, 1.0)),
        (5, 10, (0.1870860, 0.8129140)),
        (0, 1, (0.0, 0.975)),
        (3, 1000, (0.0006190, 0.0087418)),
    ],
)
def test_known_intervals(k: int, n: int, expected: tuple[float, float]) -> None:
    assert clopper_pearson(k, n) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(st.data(), st.integers(1, 300), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_ends_leave_the_promised_tails(data: st.DataObject, n: int, confidence: float) -> None:
    k = data.draw(st.integers(0, n))
    low, high = clopper_pearson(k, n, confidence)
    tail = (1 - confidence) / 2
    assert 0 <= low <= k / n <= high <= 1
    assert low == 0 if k == 0 else binom.sf(k - 1, n, low) == pytest.approx(tail, rel=1e-6)
    assert high == 1 if k == n else binom.cdf(k, n, high) == pytest.approx(tail, rel=1e-6)


@pytest.mark.parametrize(
    ("k", "n", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (0, 0, 0.95), (1, 5, 0.0), (1, 5, 1.0)]
)
def test_bad_input_is_refused(k: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"expected|confidence"):
        clopper_pearson(k, n, confidence)


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(MissingExtraError, match=r"blemish\[train\]"):
        clopper_pearson(1, 2)


def test_a_rate_counts_true_outcomes() -> None:
    rate = Rate.of([True, False, False, True])
    assert rate is not None
    assert (rate.count, rate.total, rate.complement, rate.value) == (2, 4, 2, 0.5)
    assert (rate.low, rate.high) == clopper_pearson(2, 4)
    assert Rate.of([]) is None
