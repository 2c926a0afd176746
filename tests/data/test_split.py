from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.data import Sample
from blemish.data.split import assign_splits, hold_out

pytestmark = pytest.mark.core


def make(rows: Sequence[tuple[int, int | None, bool]]) -> list[Sample]:
    return [
        Sample(
            Path(f"/data/{index}.png"),
            f"product {product}",
            "train",
            "defective" if defective else "normal",
            group=None if group is None else str(group),
        )
        for index, (product, group, defective) in enumerate(rows)
    ]


SAMPLES = st.lists(
    st.tuples(st.integers(0, 2), st.none() | st.integers(0, 6), st.booleans()), min_size=0, max_size=40
).map(make)
SIZES = st.one_of(st.integers(0, 20), st.floats(0.01, 0.99))


def groups(samples: Any) -> set[tuple[str, str]]:
    return {(sample.product, sample.group) for sample in samples if sample.group is not None}


@settings(deadline=None)
@given(samples=SAMPLES, size=SIZES, seed=st.integers(0, 9))
def test_hold_out_keeps_groups_together_and_never_empties_the_rest(samples: list[Sample], size: Any, seed: int) -> None:
    rest, held = hold_out(samples, size, seed)

    assert {*rest, *held} == set(samples)
    assert len(rest) + len(held) == len(samples)
    assert not groups(rest) & groups(held)
    assert {sample.product for sample in rest} == {sample.product for sample in samples}


@settings(deadline=None)
@given(samples=SAMPLES, size=SIZES, seed=st.integers(0, 9), random=st.randoms())
def test_hold_out_depends_on_names_and_seed_alone(samples: list[Sample], size: Any, seed: int, random: Random) -> None:
    shuffled = random.sample(samples, len(samples))

    assert hold_out(shuffled, size, seed) == hold_out(samples, size, seed)


@pytest.mark.parametrize(("size", "expected"), [(0.2, 20), (0.5, 50), (7, 7), (0, 0), (99, 99), (500, 99), (0.001, 1)])
def test_hold_out_is_exact_without_groups(size: Any, expected: int) -> None:
    rest, held = hold_out(make([(0, None, False)] * 100), size)

    assert (len(rest), len(held)) == (100 - expected, expected)


@pytest.mark.parametrize(("size", "expected"), [(0.2, 20), (0.25, 25), (0.24, 25), (1, 5)])
def test_hold_out_comes_as_near_as_groups_allow(size: Any, expected: int) -> None:
    held = hold_out(make([(0, index // 5, False) for index in range(100)]), size)[1]

    assert len(held) == expected


def test_hold_out_draws_differently_by_seed_and_alike_beside_other_products() -> None:
    samples = make([(0, None, False)] * 50 + [(1, None, False)] * 50)
    first = hold_out(samples[:50], 0.2, seed=1)[1]

    assert first != hold_out(samples[:50], 0.2, seed=2)[1]
    assert first == tuple(s for s in hold_out(samples, 0.2, seed=1)[1] if s.product == "product 0")


@pytest.mark.parametrize("size", [0.0, 1.0, -0.5, 1.5, -1])
def test_hold_out_refuses_sizes_without_meaning(size: Any) -> None:
    with pytest.raises(ValueError, match=r"must lie between|cannot be negative"):
        hold_out([], size)


@settings(deadline=None)
@given(samples=SAMPLES, seed=st.integers(0, 9), rule=st.sampled_from(["group", "image"]))
def test_assigned_splits(samples: list[Sample], seed: int, rule: Any) -> None:
    done = assign_splits(samples, rule, seed)

    assert sorted(s.path for s in done) == sorted(s.path for s in samples)
    assert all(s.split == "test" for s in done if s.defective)
    trained = [s for s in done if s.split == "train"]
    if rule == "group":
        assert not groups(trained) & groups(s for s in done if s.split == "test")
        tainted = groups(s for s in samples if s.defective)
        clean = {
            s.product for s in samples if not s.defective and (s.group is None or (s.product, s.group) not in tainted)
        }
        assert {s.product for s in trained} == clean
    else:
        assert {s.product for s in trained} == {s.product for s in samples if not s.defective}


@pytest.mark.parametrize(("normal", "trained"), [(1, 1), (2, 2), (3, 2), (5, 4), (10, 8), (952, 762)])
def test_four_fifths_of_the_normal_images_train(normal: int, trained: int) -> None:
    samples = make([(0, None, False)] * normal + [(0, None, True)] * 3)

    done = assign_splits(samples, "image")

    assert sum(s.split == "train" for s in done) == trained
