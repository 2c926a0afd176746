from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blemish.data.defects.runs import Runs, decode_counts, encode_counts
from blemish.errors import DataError

pytestmark = pytest.mark.core

MASKS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
        lambda values: np.array(values).reshape(shape)
    )
)


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        ([[0, 0], [0, 0]], (4,)),
        ([[1, 1], [1, 1]], (0, 4)),
        ([[1, 0], [0, 1]], (0, 1, 2, 1)),
        ([[0, 1, 0], [0, 1, 0]], (2, 2, 2)),  # down the columns
    ],
)
def test_runs_go_down_the_columns(mask: Any, counts: tuple[int, ...]) -> None:
    runs = Runs.of(np.array(mask, dtype=bool))

    assert runs.counts == counts
    assert runs.size == (len(mask[0]), len(mask))
    assert runs.empty == (not np.any(mask))


@given(mask=MASKS)
def test_a_mask_comes_back_equal(mask: Any) -> None:
    runs = Runs.of(mask)

    assert np.array_equal(runs.mask(), mask)
    assert Runs(runs.size, decode_counts(encode_counts(runs.counts))) == runs


def test_a_known_text() -> None:
    counts = (6, 1, 40, 4, 5, 4, 5, 4, 21)

    assert decode_counts("61X13mN000`0") == counts
    assert encode_counts(counts) == "61X13mN000`0"


@given(counts=st.lists(st.integers(0, 2**40), max_size=8))
def test_numbers_of_any_length_come_back(counts: list[int]) -> None:
    assert decode_counts(encode_counts(counts)) == tuple(counts)


@given(text=st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        counts = decode_counts(text)
    except DataError:
        return
    assert decode_counts(encode_counts(counts)) == counts


@pytest.mark.parametrize(
    ("size", "counts", "words"),
    [
        ((2, 2), (3,), "covers 3 pixels, not 4"),
        ((2, 2), (5, -1), "negative"),
        ((0, 2), (), "0 × 2"),
        ((100_000, 100_000), (10**10,), "cannot be used"),
        ((-2, -2), (4,), "cannot be used"),
    ],
)
def test_impossible_runs_are_refused(size: Any, counts: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Runs(size, counts)
