from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blemish.data.defects import Marking, read_defects
from blemish.errors import DataError

pytestmark = pytest.mark.core

BOX = "1 0.5 0.5 0.25 0.5\n"


def write(root: Path, **texts: str) -> Path:
    """`write(root, labels__a="…")` writes labels/a.txt; names with a dot of their own as `("data.yaml", text)`."""
    for name, text in texts.items():
        path = root / (name.replace("__", "/") + ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("y/images/a.png", "labels__a"),
        ("y/images/train/a.png", "labels__train__a"),
        ("y/train/images/a.png", "train__labels__a"),
        ("y/a.png", "a"),
        ("y/images/a.png", "images__a"),
    ],
)
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "train: images/train\nnames: [cut, dent]\n"),
        ("data.yml", "names:\n  0: cut\n  1: dent\n"),
        ("classes.txt", "cut\ndent\n\n"),
        ("obj.names", "cut\r\ndent"),
    ],
)
def test_where_labels_and_names_lie(tree: Any, image: str, label: str, file: str, text: str) -> None:
    root = write(tree(image, "y/unlabelled.png") / "y", **{label: BOX})
    (root / file).write_text(text)

    found = read_defects(root)

    assert found.format == "YOLO"
    assert found.problems == ()
    assert [(example.path, example.markings) for example in found.examples] == [
        (root.parent / image, (Marking("dent", box=(6, 3, 10, 9)),))
    ]
    assert found.normals == ()


@pytest.mark.parametrize(
    ("line", "marking"),
    [
        ("0 0.5 0.5 0.25 0.5", Marking("cut", box=(6, 3, 10, 9))),
        ("0.0\t0.1 0.5 0.25 0.5", Marking("cut", box=(0, 3, 3.6, 9))),
        ("1 0 0 1 0 1 1", Marking("dent", polygon=((0, 0), (16, 0), (16, 12)))),
        ("1 0 0 1 0 1 1 0 1 0 0", Marking("dent", polygon=((0, 0), (16, 0), (16, 12), (0, 12)))),
    ],
)
def test_lines(tree: Any, line: str, marking: Marking) -> None:
    root = write(tree("y/a.png") / "y", a=line, classes="cut\ndent")

    (found,) = read_defects(root).examples[0].markings

    assert (found.category, found.polygon) == (marking.category, marking.polygon)
    assert found.box == (marking.box if marking.box is None else pytest.approx(marking.box))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.25", "line 3 has 4 numbers"),
        ("0 0.5 0.5 0.25 0.5 0.9", "line 3 has 6 numbers"),
        ("0 0 0 1 0 1 1 0", "line 3 has 8 numbers"),
        ("7 0.5 0.5 0.25 0.5", "line 3 has the class 7, which has no name"),
        ("-1 0.5 0.5 0.25 0.5", "line 3 has the class -1"),
        ("0.5 0.5 0.5 0.25 0.5", "line 3 has the class 0.5"),
        ("nan 0.5 0.5 0.25 0.5", "line 3 has the class nan"),
        ("0 200 100 20 30", "line 3 has places outside 0…1"),
        ("0 nan 0.5 0.25 0.5", "line 3 has places outside 0…1"),
        ("0 0.5 0.5 0 0.5", "line 3 has a box without area"),
        ("cut 0.5 0.5 0.25 0.5", "line 3 holds more than numbers"),
    ],
)
def test_one_bad_line_loses_no_other(tree: Any, line: str, words: str) -> None:
    root = write(tree("y/a.png") / "y", a=f"{BOX}\n{line}\n", classes="cut\ndent")

    found = read_defects(root)

    assert [len(example.markings) for example in found.examples] == [1]
    (problem,) = found.problems
    assert problem.path == root / "a.txt"
    assert words in problem.message
    assert problem.remedy


def test_empty_labels_are_normal_and_bad_ones_are_not(tree: Any) -> None:
    root = write(tree("y/a.png", "y/b.png", "y/c.png") / "y", a=BOX, b="\n", c="?", classes="cut\ndent")

    found = read_defects(root)

    assert [normal.path.name for normal in found.normals] == ["b.png"]
    assert [problem.path.name for problem in found.problems] == ["c.txt"]


def test_numbers_are_names_where_there_are_none(tree: Any) -> None:
    found = read_defects(write(tree("y/a.png") / "y", a=BOX))

    assert found.categories == ("1",)
    assert "no names of its classes" in found.problems[0].message


def test_validation_and_test_folders_and_lone_labels_are_named(tree: Any) -> None:
    root = tree("y/images/train/a.png", "y/images/val/b.png", "y/images/test/c.png") / "y"
    write(root, labels__train__a=BOX, labels__val__b=BOX, labels__test__c=BOX, labels__train__lost=BOX)
    (root / "data.yaml").write_text("names: [cut, dent]")

    found = read_defects(root / "data.yaml")

    assert [example.path.name for example in found.examples] == ["a.png"]
    assert [(problem.path.name, problem.severity) for problem in found.problems] == [
        ("y", "info"),
        ("lost.txt", "warning"),
    ]
    assert "2 images" in found.problems[0].message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: [cut", "is not YAML"),
        ("names: 5", "has no 'names'"),
        ("names: {cut: 0}", "not 'number: name'"),
        ("names: [[1], [2]]", "not 'number: name'"),
        ("- 1", "has no 'names'"),
        ("names: !!bool x", "is not YAML"),
        ("names: !!timestamp x", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_bad_names(tree: Any, text: str, words: str) -> None:
    root = write(tree("y/a.png") / "y", a=BOX)
    (root / "data.yaml").write_text(text)

    with pytest.raises(DataError, match=words) as caught:
        read_defects(root / "data.yaml")

    assert str(root / "data.yaml") in str(caught.value)
