from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blemish.data import Dataset, Sample
from blemish.data.shots import Shots, draw_shots
from blemish.errors import DataError

pytestmark = pytest.mark.core

Row = tuple[str, str, str | None, str | None]  # product, split, defect, group


def data_of(rows: Iterable[Row]) -> Dataset:
    """Samples named by their number within product, split and defect; defect "" has no name."""
    numbers: Counter[Any] = Counter()
    samples = []
    for product, split, defect, group in rows:
        number = numbers[product, split, defect]
        numbers[product, split, defect] += 1
        samples.append(
            Sample(
                Path(f"/d/{product}/{split}/{'good' if defect is None else defect or 'unnamed'}/{number:02}.png"),
                product,
                "train" if split == "train" else "test",
                "normal" if defect is None else "defective",
                defect or None,
                group=group,
            )
        )
    return Dataset(tuple(samples))


def product(name: str = "p", *, train_defects: int = 0, groups: int | None = None) -> list[Row]:
    """10 training normals, 6 test normals, and of cut and dent 5 test images each."""

    def group(number: int) -> str | None:
        return None if groups is None else str(number % groups)

    rows: list[Row] = [(name, "train", None, None if groups is None else f"n{n}") for n in range(10)]
    rows += [(name, "test", None, group(n)) for n in range(6)]
    rows += [(name, "test", defect, group(n)) for defect in ("cut", "dent") for n in range(5)]
    return rows + [(name, "train", "cut", None) for _ in range(train_defects)]


def names(samples: Iterable[Sample]) -> list[str]:
    return [sample.path.as_posix() for sample in samples]


@pytest.mark.parametrize("normals", [0, 1, 4, None])
@pytest.mark.parametrize("per_category", [0, 1, 3])
def test_shots_train_and_the_rest_tests(normals: int | None, per_category: int) -> None:
    data = data_of([*product("p"), *product("q")])

    shots = draw_shots(data, normals, per_category, seed=3)

    count = 10 if normals is None else normals
    assert Counter(s.product for s in shots.normals) == Counter({"p": count, "q": count})
    assert Counter((s.product, s.defect) for s in shots.defects) == Counter(
        {(p, d): per_category for p in "pq" for d in ("cut", "dent")}
    )
    assert {s.split for s in (*shots.normals, *shots.defects)} <= {"train"}
    train = {s for s in shots.dataset if s.split == "train"}
    assert train == {*shots.normals, *shots.defects}
    assert set(names(shots.dataset.test())) == set(names(data.test())) - set(names(shots.defects))
    assert len(shots.dataset) == 2 * count + 32  # test images are tested or taught
    assert shots.excluded == ()
    assert shots.problems == ()
    assert shots.dataset.samples == tuple(sorted(shots.dataset, key=lambda s: (s.product, s.path.as_posix())))


def test_labelled_training_images_are_drawn_before_test_images() -> None:
    data = data_of([*product("p", train_defects=3), *product("q")])

    shots = draw_shots(data, 1, 2, seed=0)

    drawn = Counter((s.product, s.defect, s.path.parts[3]) for s in shots.defects)
    assert drawn == {("p", "cut", "train"): 2, ("q", "cut", "test"): 2, ("q", "dent", "test"): 2}
    assert len(shots.dataset.test("p")) == 16
    (problem,) = shots.problems
    assert problem.severity == "info"
    assert "'dent' of 'p'" in problem.message


def test_test_images_of_a_shots_group_are_left_out() -> None:
    data = data_of(product(groups=3))

    shots = draw_shots(data, 1, 1, seed=0)

    groups = {s.group for s in shots.defects}
    assert not groups & {s.group for s in shots.dataset.test()}
    assert {s.group for s in shots.excluded} <= groups
    everything = [*shots.dataset.test(), *shots.excluded, *shots.defects]
    assert sorted(names(everything)) == sorted(names(data.test()))
    assert shots.lines()[-1].endswith(f"{len(shots.excluded)} images.")


def test_groups_of_normal_shots_are_left_out_too() -> None:
    data = data_of(
        [("p", "train", None, "1"), ("p", "test", None, "1"), ("p", "test", None, "2"), ("p", "test", "cut", "1")]
    )

    shots = draw_shots(data, 1, 0, seed=0)

    assert {s.group for s in shots.dataset.test()} == {"2"}
    assert len(shots.excluded) == 2
    assert ["no" if "'cut'" in p.message else p.message for p in shots.problems] == ["no"]


def test_a_group_is_one_products_own() -> None:
    data = data_of([*product("p", groups=1), ("q", "train", None, None), ("q", "test", None, "0")])

    shots = draw_shots(data, 1, 0, seed=0)

    assert len(shots.dataset.test("q")) == 1


def test_by_image_the_parts_of_normal_shots_still_test() -> None:
    rows: list[Row] = [("p", "train", None, "1"), ("p", "test", None, "1"), ("p", "test", "cut", "1")]
    rows += [("p", "test", "cut", "2"), ("p", "test", None, "2"), ("p", "test", None, None)]

    shots = draw_shots(data_of(rows), 1, 0, seed=0, rule="image")

    assert shots.excluded == ()
    assert len(shots.dataset.test()) == 5


@pytest.mark.parametrize("rule", ["group", "image"])
@pytest.mark.parametrize("seed", range(4))
def test_parts_of_defective_shots_never_test(rule: Any, seed: int) -> None:
    data = data_of(product(groups=3))

    shots = draw_shots(data, 1, 1, seed=seed, rule=rule)

    groups = {sample.group for sample in shots.defects}
    assert shots.excluded
    assert {sample.group for sample in shots.excluded} <= groups
    assert not groups & {sample.group for sample in shots.dataset.test()}


def test_a_product_left_without_normal_test_images_is_named() -> None:
    shots = draw_shots(data_of(product(groups=1)), 1, 1, seed=0)

    assert shots.dataset.test() == ()
    messages = [problem.message for problem in shots.problems]
    assert len(messages) == 3
    assert any("0 of 6 normal test images are left" in message for message in messages)
    assert set(shots.problems) <= set(shots.dataset.problems)
    assert all(problem.severity == "warning" for problem in shots.problems)


def test_two_shots_come_from_two_groups_where_there_are_two() -> None:
    rows: list[Row] = [("p", "train", None, None)]
    rows += [("p", "test", "cut", "big")] * 20 + [("p", "test", "cut", "small")]

    for seed in range(20):
        shots = draw_shots(data_of(rows), 1, 2, seed)
        assert {s.group for s in shots.defects} == {"big", "small"}
        more = draw_shots(data_of(rows), 1, 4, seed)
        assert Counter(s.group for s in more.defects) == {"big": 3, "small": 1}


def test_several_defects_and_nameless_ones_are_never_drawn() -> None:
    data = data_of([*product(), *[("p", "test", name, None) for name in ("combined", "Combined", "")] * 30])

    shots = draw_shots(data, 1, 5, seed=0)

    assert {s.defect for s in shots.defects} == {"cut", "dent"}
    assert sum(s.defect not in ("cut", "dent") for s in shots.dataset.test() if s.defective) == 90


@pytest.mark.parametrize(
    ("normals", "per_category", "words"),
    [
        (11, 0, "Product 'p' has 10 normal training images, and 11 shots"),
        (1, 6, "Product 'p' has 5 labelled images of 'cut', and 6 shots"),
    ],
)
def test_more_shots_than_images(normals: int, per_category: int, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        draw_shots(data_of(product()), normals, per_category, seed=0)

    assert caught.value.remedy


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (1, -1, 0), (1, 0, -1)])
def test_negative_numbers_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        draw_shots(data_of(product()), *numbers)


def drawn(shots: Shots, product: str) -> list[str]:
    return [path for path in names((*shots.normals, *shots.defects)) if f"/{product}/" in path]


@given(
    seed=st.integers(0, 50), random=st.randoms(), per_category=st.integers(0, 5), groups=st.sampled_from([None, 2, 4])
)
def test_order_and_other_products_do_not_matter(
    seed: int, random: Random, per_category: int, groups: int | None
) -> None:
    data = data_of([*product("p", groups=groups), *product("q", groups=groups)])
    shuffled = Dataset(tuple(random.sample(data.samples, len(data))))

    shots = draw_shots(data, 2, per_category, seed)

    assert draw_shots(shuffled, 2, per_category, seed) == shots
    assert drawn(draw_shots(data.select(product="p"), 2, per_category, seed), "p") == drawn(shots, "p")
    assert not {(s.product, s.group) for s in shots.dataset.test() if s.group} & {
        (s.product, s.group) for s in (*shots.normals, *shots.defects)
    }


@given(seed=st.integers(0, 50), groups=st.sampled_from([None, 2, 4]))
def test_more_shots_hold_the_fewer(seed: int, groups: int | None) -> None:
    data = data_of(product(groups=groups))
    few, more = draw_shots(data, 2, 1, seed), draw_shots(data, 4, 3, seed)

    assert {*names(few.normals), *names(few.defects)} <= {*names(more.normals), *names(more.defects)}


def test_seeds_draw_differently() -> None:
    data = data_of(product())

    assert len({tuple(names(draw_shots(data, 2, 1, seed).defects)) for seed in range(20)}) > 8


def test_names_that_are_not_unicode() -> None:
    shots = draw_shots(data_of([("p\udcff", "train", None, None), ("p\udcff", "test", "c\udcff", None)]), 1, 1, seed=0)

    assert len(shots.defects) == 1


def test_lines_name_every_file() -> None:
    lines = draw_shots(data_of(product()), 1, 1, seed=0).lines()

    assert [line.split(": ")[:2] for line in lines] == [["p", "normal"], ["p", "cut"], ["p", "dent"]]
    assert all(line.endswith(".png") for line in lines)


@pytest.mark.parametrize("split", ["group", "image"])
def test_real_tiles(shared: Path, split: Any) -> None:
    root = shared / "data/magnetic_tile"
    if not (root / "groups.csv").is_file():
        pytest.skip("no magnetic tiles")
    data = Dataset.from_folder(root, split=split)

    for seed in range(3):
        shots = draw_shots(data, 2, 2, seed)
        assert Counter(s.defect for s in shots.defects) == dict.fromkeys(
            ("blowhole", "break", "crack", "fray", "uneven"), 2
        )
        taught = {s.group for s in (*shots.normals, *shots.defects)}
        assert not taught & {s.group for s in shots.dataset.test()}
        for category in ("blowhole", "break", "crack", "fray", "uneven"):
            assert len({s.group for s in shots.defects if s.defect == category}) == 2
        assert len(shots.dataset.test()) + len(shots.excluded) + 10 == len(data.test())
        assert shots.problems == ()
    if split == "image":  # all normal images of nearly all tiles train
        problems = draw_shots(data, None, 0, 0).problems
        assert any("normal test images are left" in problem.message for problem in problems)
