from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blemish.evaluation.metrics import auroc, average_precision, f1_max

reference = pytest.importorskip("sklearn.metrics")

# Few distinct values make ties certain; both zeros must count as one threshold.
TIED = st.sampled_from([-2.5, -0.0, 0.0, 0.125, 1.0, 1e-30, 3e7])
ANY = st.floats(-1e6, 1e6)


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of at least one normal and one defective image, in any order."""
    size = draw(st.integers(2, 60))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    scores = np.array(draw(st.lists(draw(st.sampled_from([TIED, ANY])), min_size=size, max_size=size)), dtype=dtype)
    labels = draw(hnp.arrays(np.bool_, size - 2))
    return scores, np.concatenate([labels[: size // 2], [True, False], labels[size // 2 :]])


def reference_f1_max(labels: np.ndarray, scores: np.ndarray) -> float:
    precision, recall, _ = reference.precision_recall_curve(labels, scores)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300)))


@settings(deadline=None)
@given(scored())
def test_equal_to_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = case
    assert auroc(scores, labels) == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-9)
    assert average_precision(scores, labels) == pytest.approx(
        reference.average_precision_score(labels, scores), abs=1e-9
    )
    value, threshold = f1_max(scores, labels)
    assert value == pytest.approx(reference_f1_max(labels, scores), abs=1e-9)
    called = scores >= np.asarray(threshold, dtype=scores.dtype)
    assert value == pytest.approx(2 * (called & labels).sum() / (called.sum() + labels.sum()), abs=1e-12)


@settings(deadline=None)
@given(scored())
def test_reversed_scores_reverse_auroc_and_nothing_is_flipped(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = case
    assert auroc(-scores, labels) == pytest.approx(1 - auroc(scores, labels), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], (1.0, 1.0, (1.0, 0.8))),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], (0.0, (1 / 3 + 1 / 2) / 2, (2 / 3, 0.1))),
        ([5, 5, 5, 5], [0, 0, 0, 1], (0.5, 0.25, (0.4, 5.0))),
        ([1.0], [True], (None, None, (None, None))),
        ([1.0, 2.0], [False, False], (None, None, (None, None))),
        ([], [], (None, None, (None, None))),
    ],
    ids=["perfect", "inverted", "constant", "one defective", "all normal", "empty"],
)
def test_known_values(scores: list[float], labels: list[int], expected: tuple) -> None:
    assert (auroc(scores, labels), average_precision(scores, labels), f1_max(scores, labels)) == expected


def test_the_highest_of_equally_good_thresholds_is_reported() -> None:
    # F1 is 2/3 both at 3.0 (one of two caught, no alarm) and at 1.0 (both caught, two alarms).
    assert f1_max([3.0, 2.0, 2.0, 1.0], [1, 0, 0, 1]) == (2 / 3, 3.0)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, 2.0], [0], "one length"),
        ([[1.0, 2.0]], [[0, 1]], "one length"),
        ([1.0, 2.0], [0, 2], "booleans"),
        ([1.0, float("nan")], [0, 1], "finite"),
        ([1.0, float("inf")], [0, 1], "finite"),
    ],
)
def test_bad_input_is_refused(scores: list, labels: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        auroc(scores, labels)
