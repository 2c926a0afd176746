from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blemish.evaluation.metrics import Confusion, pixel_pairs, unknown_auroc
from blemish.evaluation.metrics.classification import NORMAL, true_class
from blemish.inspection import UNKNOWN_DEFECT

reference = pytest.importorskip("sklearn.metrics")
pytestmark = pytest.mark.core

NAMES = ("crack", "dent", "stain")
CLASSES = (NORMAL, *NAMES)

named_images = st.lists(
    st.tuples(st.sampled_from(CLASSES), st.sampled_from([*CLASSES, UNKNOWN_DEFECT])), min_size=1, max_size=40
)


@given(named_images)
@pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label was found")
def test_equal_to_scikit_learn(images: list[tuple[str, str]]) -> None:
    truth, called = zip(*images, strict=True)
    found = Confusion.of(Counter(images), NAMES)
    occurring = [name for name in CLASSES if name in (*truth, *called)]
    assert found.accuracy == pytest.approx(reference.accuracy_score(truth, called))
    assert found.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(truth, called))
    macro = {"labels": occurring, "average": "macro", "zero_division": 0}
    assert found.macro_f1 == pytest.approx(reference.f1_score(truth, called, **macro))
    assert found.mean_iou == pytest.approx(reference.jaccard_score(truth, called, **macro))
    whole = reference.confusion_matrix(truth, called, labels=[*CLASSES, UNKNOWN_DEFECT])
    np.testing.assert_array_equal(found.matrix, whole[:-1])


@st.composite
def named_maps(draw: st.DrawFn) -> list[tuple[np.ndarray, str, np.ndarray, np.ndarray]]:
    """True mask, its category, found mask and category map of some images."""
    images = []
    for _ in range(draw(st.integers(1, 4))):
        truth, found = (draw(hnp.arrays(np.bool_, (3, 4))) for _ in range(2))
        indices = draw(hnp.arrays(np.int16, (3, 4), elements=st.integers(-1, 2)))
        images.append((truth, draw(st.sampled_from(NAMES)), found, indices))
    return images


@given(named_maps(), hnp.arrays(np.bool_, (3, 4)).filter(np.any))
def test_pooled_pixels_equal_scikit_learn(images: list, roi: np.ndarray) -> None:
    pooled: Counter[tuple[str, str]] = Counter()
    true_pixels, found_pixels = [], []
    for truth, defect, found, indices in images:
        pooled += pixel_pairs(truth, defect, found, indices, NAMES, roi)
        true_pixels += [defect if pixel else NORMAL for pixel in truth[roi]]
        found_pixels += [
            (UNKNOWN_DEFECT if index < 0 else NAMES[index]) if pixel else NORMAL
            for pixel, index in zip(found[roi], indices[roi], strict=True)
        ]
    occurring = [name for name in CLASSES if name in (*true_pixels, *found_pixels)]
    expected = reference.jaccard_score(true_pixels, found_pixels, labels=occurring, average="macro", zero_division=0)
    assert Confusion.of(pooled, NAMES).mean_iou == pytest.approx(expected)
    assert sum(pooled.values()) == len(images) * roi.sum()


@pytest.mark.parametrize(
    ("pairs", "accuracy", "balanced", "f1", "iou"),
    [
        ({(NORMAL, NORMAL): 3, ("crack", "crack"): 1}, 1, 1, 1, 1),
        ({(NORMAL, NORMAL): 3, ("crack", NORMAL): 1}, 3 / 4, 1 / 2, (6 / 7 + 0) / 2, (3 / 4 + 0) / 2),
        ({("crack", UNKNOWN_DEFECT): 1, ("crack", "crack"): 1}, 1 / 2, 1 / 2, 2 / 3, 1 / 2),
        ({(NORMAL, "dent"): 1, (NORMAL, NORMAL): 1}, 1 / 2, 1 / 2, (2 / 3 + 0) / 2, (1 / 2 + 0) / 2),
        ({("burr", "dent"): 5, (NORMAL, NORMAL): 1}, 1, 1, 1, 1),
        ({("crack", "the crack of a nut"): 1, ("crack", "crack"): 1}, 1 / 2, 1 / 2, 2 / 3, 1 / 2),
        ({("burr", UNKNOWN_DEFECT): 5}, None, None, None, None),
        ({}, None, None, None, None),
    ],
    ids=["all right", "missed", "unknown", "only predicted", "not learned", "another product's", "no known", "nothing"],
)
def test_known_values(pairs: dict, accuracy: float, balanced: float, f1: float, iou: float) -> None:
    found = Confusion.of(pairs, NAMES)
    values = (found.accuracy, found.balanced_accuracy, found.macro_f1, found.mean_iou)
    for value, expected in zip(values, (accuracy, balanced, f1, iou), strict=True):
        assert value == (None if expected is None else pytest.approx(expected))


def test_rows_and_columns() -> None:
    pairs = {("zebra", "crack"): 2, ("burr", UNKNOWN_DEFECT): 3, ("crack", "scratch of a nut"): 1}
    found = Confusion.of(pairs, ("dent", "crack"))
    assert found.rows == (NORMAL, "dent", "crack", "burr", "zebra")
    assert found.columns == (NORMAL, "dent", "crack", UNKNOWN_DEFECT, "scratch of a nut")
    assert found.counts == ((0,) * 5, (0,) * 5, (0, 0, 0, 0, 1), (0, 0, 0, 3, 0), (0, 0, 2, 0, 0))
    assert Confusion.from_dict(json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize("names", [("a", "a"), (NORMAL,), ("a", UNKNOWN_DEFECT)])
def test_names_that_are_no_categories(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="categories must differ"):
        Confusion.of({}, names)
    with pytest.raises(ValueError, match="categories must differ"):
        pixel_pairs(None, NORMAL, np.zeros((2, 2), bool), None, names)


def test_a_map_without_categories_is_all_unknown() -> None:
    mask = np.array([[True, False]])
    assert pixel_pairs(None, NORMAL, mask, None, ()) == {(NORMAL, UNKNOWN_DEFECT): 1, (NORMAL, NORMAL): 1}


@pytest.mark.parametrize(
    ("truth", "indices", "message"),
    [
        (np.zeros((3, 3), bool), np.zeros((2, 2), np.int16), "shape"),
        (None, np.zeros((3, 2), np.int16), "shape"),
        (None, np.full((2, 2), 3, np.int16), "beyond the 3 categories"),
        (None, np.full((2, 2), -2, np.int16), "beyond the 3 categories"),
    ],
)
def test_maps_that_do_not_fit(truth: np.ndarray | None, indices: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pixel_pairs(truth, "crack", np.ones((2, 2), bool), indices, NAMES)


@pytest.mark.parametrize(
    ("defective", "defect", "expected"),
    [
        (False, None, NORMAL),
        (True, "crack", "crack"),
        (True, None, None),
        (True, "combined", None),
        (True, "Combined", None),
        (True, NORMAL, None),
    ],
)
def test_true_classes(defective: bool, defect: str | None, expected: str | None) -> None:
    assert true_class(defective, defect) == expected


@given(st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.5001, 1.0]), st.booleans()), max_size=20))
def test_unknown_auroc_ranks_low_confidence_first(images: list[tuple[float, bool]]) -> None:
    scores, unknown = [score for score, _ in images], [is_unknown for _, is_unknown in images]
    value = unknown_auroc(scores, unknown)
    if len(set(unknown)) < 2:
        assert value is None
    else:
        assert value == pytest.approx(reference.roc_auc_score(unknown, [-score for score in scores]))
