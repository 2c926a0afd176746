from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blemish.data import Dataset, Sample
from blemish.errors import DataError

pytestmark = pytest.mark.core

PRODUCT = ("train/good/0.png", "test/good/0.png", "test/cut/0.png")


def product(folder: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in PRODUCT)


def test_questions(tree: Any) -> None:
    data = Dataset.from_folder(tree(*product("all/b"), *product("all/a")) / "all")

    assert data.products == ("a", "b")
    assert len(data) == len(list(data)) == 6
    assert [s.product for s in data.train_normals()] == ["a", "b"]
    assert [s.product for s in data.train_normals("b")] == ["b"]
    assert {s.label for s in data.test("a")} == {"normal", "defective"}
    assert len(data.select(product=["a", "b"], split="test", label="defective", defect="cut")) == 2
    assert data.select(product=()).samples == ()
    assert data.select(product="a").layouts == data.layouts


@pytest.mark.parametrize(
    ("roots", "products"),
    [
        (("one/screw", "two/nut"), ("nut", "screw")),
        (("one", "two"), ("nut", "one-screw", "two-screw")),
        (("one/screw", "two/screw"), ("one-screw", "two-screw")),
        (("one", "two", "three/one"), ("nut", "one-screw", "one-screw-2", "two-screw")),
    ],
)
def test_roots_with_equal_product_names_are_told_apart(tree: Any, roots: tuple[str, ...], products: Any) -> None:
    root = tree(*product("one/screw"), *product("two/screw"), *product("two/nut"), *product("three/one/screw"))

    data = Dataset.from_folder(*(root / name for name in roots))

    assert data.products == products
    assert sorted(name for layout in data.layouts for name in layout.products) == sorted(products)
    assert len(data.problems) == len([name for name in products if "-" in name])
    for problem in data.problems:
        assert "is called" in problem.message


def test_equal_product_names_in_folders_of_one_root_are_told_apart(tree: Any) -> None:
    data = Dataset.from_folder(tree(*product("all/one/screw"), *product("all/two/screw")) / "all")

    assert data.products == ("one-screw", "two-screw")
    assert len(data) == 6


@pytest.mark.parametrize("roots", [("one", "one"), ("one", "one/screw"), ("one/screw", "one")])
def test_an_image_is_read_once(tree: Any, roots: tuple[str, str]) -> None:
    root = tree(*product("one/screw"))

    data = Dataset.from_folder(*(root / name for name in roots))

    assert len(data) == 3
    assert data.products == ("screw",)
    (problem,) = data.problems
    assert "3 images" in problem.message


def test_no_root_is_an_error() -> None:
    with pytest.raises(DataError, match="No data set was named"):
        Dataset.from_folder()


@pytest.mark.parametrize(("rule", "trained"), [("group", 12), ("image", 16)])
def test_the_split_argument_rules_where_the_layout_has_none(tree: Any, rule: Any, trained: int) -> None:
    root = tree(*(f"p/good/{i:02}.png" for i in range(20)), "p/bad/0.png") / "p"
    lines = [f"good/{i:02}.png,{i // 5}" for i in range(20)]  # four groups of five
    (root / "groups.csv").write_text("\n".join(["path,group", *lines, "bad/0.png,0"]))

    data = Dataset.from_folder(root, split=rule)

    assert len(data.train_normals()) == pytest.approx(trained, abs=2)
    assert all(s.split == "test" for s in data if s.defective)
    sides = {s.group: {t.split for t in data if t.group == s.group} for s in data}
    assert all(len(splits) == 1 for splits in sides.values()) == (rule == "group")
    if rule == "group":
        assert sides["0"] == {"test"}
    assert data == Dataset.from_folder(root, split=rule)
    assert data != Dataset.from_folder(root, split=rule, seed=2)


def test_merge_joins_products_of_one_name(tmp_path: Path) -> None:
    first = Dataset((Sample(tmp_path / "1.png", "p", "train", "normal"),))
    second = Dataset((Sample(tmp_path / "0.png", "p", "test", "defective", "cut"),))

    both = first.merge(second, first)

    assert both.samples == (*second.samples, *first.samples)


def test_merge_refuses_contradictions(tmp_path: Path) -> None:
    first = Dataset((Sample(tmp_path / "1.png", "p", "train", "normal"),))
    second = Dataset((Sample(tmp_path / "1.png", "p", "train", "defective"),))

    with pytest.raises(DataError, match=r"1\.png has different labels"):
        first.merge(second)


def test_a_data_set_survives_being_written_as_a_manifest(tree: Any, tmp_path: Path) -> None:
    data = Dataset.from_folder(tree(*product("all/b"), *product("all/a")) / "all")

    data.write_manifest(tmp_path / "manifest.csv")

    assert Dataset.from_manifest(tmp_path / "manifest.csv").samples == data.samples
