from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blemish.data import Dataset
from blemish.errors import DataError

pytestmark = pytest.mark.core


def grouped(root: Path) -> dict[str, str | None]:
    return {sample.path.name: sample.group for sample in Dataset.from_folder(root)}


@pytest.mark.parametrize(
    "text",
    [
        "path,part\ncap/0.png,a\ncap/1.png,a\n",
        "file;part;by\r\ncap/0.png;a;me\r\ncap\\1.png;a;you\r\n",
        "\ufeffpath\tpart\n\ncap/0.png\ta\ncap/1.png\ta\ncap/2.png\t\n",
    ],
)
def test_groups_file(tree: Any, text: str) -> None:
    root = tree("p/cap/0.png", "p/cap/1.png", "p/cap/2.png") / "p"
    (root / "groups.csv").write_text(text, encoding="utf-8")

    assert grouped(root) == {"0.png": "a", "1.png": "a", "2.png": None}


def test_groups_file_of_a_single_product_among_many(tree: Any) -> None:
    root = tree("p/cap/0.png", "p/lid/1.png") / "p"
    (root / "cap/groups.csv").write_text("path,group\n0.png,a\n")

    assert grouped(root) == {"0.png": "a", "1.png": None}


def test_unknown_files_in_a_groups_file_are_named(tree: Any) -> None:
    root = tree("p/0.png") / "p"
    (root / "groups.csv").write_text("path,group\n0.png,a\nx.png,a\ny.png,b\n")

    (problem,) = Dataset.from_folder(root).problems

    assert problem.severity == "warning"
    assert "names 2 files" in problem.message
    assert "x.png" in problem.message


def test_a_groups_file_that_is_no_table_is_an_error(tree: Any) -> None:
    root = tree("p/0.png") / "p"
    (root / "groups.csv").write_bytes(b"path,group\n\xff\xfe,a\n")

    with pytest.raises(DataError, match="not UTF-8"):
        Dataset.from_folder(root)


def test_groups_on_both_sides_of_a_published_split_test_wholly(tree: Any) -> None:
    root = tree(*(f"p/{name}.png" for name in ("train/good/0", "train/good/1", "test/good/0", "test/good/1"))) / "p"
    (root / "groups.csv").write_text("path,group\ntrain/good/0.png,a\ntest/good/0.png,a\ntest/good/1.png,b\n")

    dataset = Dataset.from_folder(root)
    (problem,) = dataset.problems

    assert problem.severity == "warning"
    assert "groups with images in train and in test: 1. All their images test." in problem.message
    assert (len(dataset.train_normals()), len(dataset.test())) == (1, 3)

    (root / "train/good/1.png").unlink()
    (problem,) = Dataset.from_folder(root).problems
    assert problem.severity == "fatal"
    assert "none is left to train on" in problem.message
