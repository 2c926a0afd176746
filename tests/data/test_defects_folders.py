"""Folders, data sets, manifests, and what all formats have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.data import Sample
from blemish.data.defects import DefectExample, Marking, read_defects
from blemish.errors import DataError

pytestmark = pytest.mark.core


def facts(found: Any, root: Path) -> dict[str, tuple[str | None, str, str | None]]:
    """Image → product, category, mask; paths relative to the root."""
    done = {}
    for example in found.examples:
        (marking,) = example.markings
        mask = None if marking.mask is None else marking.mask.relative_to(root).as_posix()
        done[example.path.relative_to(root).as_posix()] = (example.product, marking.category, mask)
    return done


@pytest.mark.parametrize(
    ("names", "form", "expected", "normals"),
    [
        pytest.param(
            ("cut/0.png", "cut/1.png", "Dent/0.png"),
            "folders",
            {"cut/0.png": (None, "cut", None), "cut/1.png": (None, "cut", None), "Dent/0.png": (None, "Dent", None)},
            [],
            id="without masks",
        ),
        pytest.param(
            ("cut/0.png", "cut/0_mask.png", "cut/1.jpg", "cut/1_MASK.png", "cut/2.png"),
            "folders",
            {
                "cut/0.png": (None, "cut", "cut/0_mask.png"),
                "cut/1.jpg": (None, "cut", "cut/1_MASK.png"),
                "cut/2.png": (None, "cut", None),
            },
            [],
            id="mask beside",
        ),
        pytest.param(
            ("cut/0.png", "masks/cut/0.png", "dent/0.png", "masks/dent/0_mask.png", "hole/9.png", "masks/9.png"),
            "folders",
            {
                "cut/0.png": (None, "cut", "masks/cut/0.png"),
                "dent/0.png": (None, "dent", "masks/dent/0_mask.png"),
                "hole/9.png": (None, "hole", "masks/9.png"),
            },
            [],
            id="folder of masks",
        ),
        pytest.param(
            ("cut/0.png", "ground_truth/cut/0_mask.png"),
            "folders",
            {"cut/0.png": (None, "cut", "ground_truth/cut/0_mask.png")},
            [],
            id="ground_truth",
        ),
        pytest.param(
            ("cut/0.jpg", "cut/0.png", "cut/1.jpg"),
            "folders",
            {"cut/0.jpg": (None, "cut", "cut/0.png"), "cut/1.jpg": (None, "cut", None)},
            [],
            id="png beside jpg",
        ),
        pytest.param(
            ("nut/cut/0.png", "nut/masks/cut/0.png", "bolt/cut/0.png", "bolt/good/1.png"),
            "folders",
            {"nut/cut/0.png": ("nut", "cut", "nut/masks/cut/0.png"), "bolt/cut/0.png": ("bolt", "cut", None)},
            ["bolt/good/1.png"],
            id="products",
        ),
        pytest.param(
            ("train/cut/0.png", "test/cut/1.png", "x/cut/2.png"),
            "folders",
            {"train/cut/0.png": (None, "cut", None), "x/cut/2.png": ("x", "cut", None)},
            [],
            id="train is no product and test teaches nothing",
        ),
        pytest.param(
            ("good/0.png", "cut/0.png"), "folders", {"cut/0.png": (None, "cut", None)}, ["good/0.png"], id="good beside"
        ),
        pytest.param(
            ("good/0.png", "bad/cut/0.png", "masks/cut/0.png"),
            "data set",
            {"bad/cut/0.png": ("d", "cut", "masks/cut/0.png")},
            ["good/0.png"],
            id="good and bad",
        ),
        pytest.param(
            ("train/good/0.png", "train/cut/0.png", "test/cut/1.png", "test/good/9.png", "ground_truth/cut/0_mask.png"),
            "data set",
            {"train/cut/0.png": ("d", "cut", "ground_truth/cut/0_mask.png")},
            ["train/good/0.png"],
            id="MVTec: what trains",
        ),
        pytest.param(
            ("p/train/good/0.png", "p/train/cut/0.png", "q/MT_Free/Imgs/0.jpg", "q/MT_Crack/Imgs/0.jpg"),
            "data set",
            {"p/train/cut/0.png": ("p", "cut", None), "q/MT_Crack/Imgs/0.jpg": ("q", "crack", None)},
            ["p/train/good/0.png", "q/MT_Free/Imgs/0.jpg"],
            id="several layouts",
        ),
    ],
)
def test_folders_and_data_sets(tree: Any, names: tuple[str, ...], form: str, expected: Any, normals: Any) -> None:
    root = tree(*(f"d/{name}" for name in names)) / "d"

    found = read_defects(root)

    assert found.format == form
    assert facts(found, root) == expected
    assert [normal.path.relative_to(root).as_posix() for normal in found.normals] == normals
    assert [problem for problem in found.problems if problem.severity != "info"] == []


def test_a_product_that_is_named_holds_for_all(tree: Any) -> None:
    root = tree("d/nut/cut/0.png", "d/bolt/good/1.png")

    found = read_defects(root / "d", product="gear")

    assert {one.product for one in (*found.examples, *found.normals)} == {"gear"}


def test_groups_come_along(tree: Any) -> None:
    root = tree("t/MT_Crack/Imgs/0.jpg", "t/MT_Crack/Imgs/1.jpg") / "t"
    (root / "groups.csv").write_text("path,tile\nMT_Crack/Imgs/0.jpg,7\n")

    assert [example.group for example in read_defects(root).examples] == ["7", None]


def test_defects_in_test_alone_are_not_taught(tree: Any) -> None:
    root = tree("d/train/good/0.png", "d/test/cut/1.png", "d/test/good/9.png") / "d"

    with pytest.raises(DataError, match=r"1 defective images of .* are in the split 'test'") as caught:
        read_defects(root)

    assert "train/<category>" in caught.value.remedy


def test_defects_without_a_name_are_counted(tree: Any) -> None:
    found = read_defects(tree("d/good/0.png", "d/bad/0.png", "d/bad/1.png", "d/bad/cut/0.png") / "d")

    assert len(found.examples) == 1
    assert len(found.normals) == 1
    assert "2 defective images have no category" in found.problems[0].message


@pytest.mark.parametrize(
    ("mask", "words", "kept"),
    [
        (np.zeros((12, 16), np.uint8), "is empty", False),
        (np.full((24, 32), 255, np.uint8), "has 32 × 24 pixels, its image 16 × 12", True),
        (np.full((16, 12), 255, np.uint8), "has 12 × 16 pixels", True),
        (None, "is not an image", False),
    ],
)
def test_masks_that_look_wrong_are_named(tree: Any, mask: Any, words: str, kept: bool) -> None:
    root = tree("d/cut/0.png", "d/cut/1.png") / "d"
    if mask is None:
        (root / "cut/0_mask.png").write_text("no image")
    else:
        Image.fromarray(mask).save(root / "cut/0_mask.png")

    found = read_defects(root)

    assert [example.markings[0].mask is not None for example in found.examples] == [kept, False]
    (problem,) = found.problems
    assert problem.path == root / "cut/0_mask.png"
    assert words in problem.message
    assert problem.remedy


def test_what_is_left_out_is_named(tree: Any) -> None:
    root = tree("d/cut/0.png", "d/loose.png", "d/ng/0.png", "d/masks/cut/9.png") / "d"
    (root / "cut/1.png").write_text("no image")

    found = read_defects(root)

    assert [example.path.name for example in found.examples] == ["0.png"]
    assert {problem.path.name for problem in found.problems} == {"1.png", "d", "ng", "9.png"}


MANIFEST = """path,label,box,mask,product,split,group
a.png,cut,"2,2,6,6",,p,train,g
a.png,dent,"8,2,99,6",,p,train,g
b.png,cut,,b_mask.png,p,train,
c.png,dent,,,p,train,
d.png,normal,,,p,train,h
e.png,cut,"1,1,2,2",,p,test,
"""


def test_manifests_may_list_an_image_for_every_defect(tree: Any) -> None:
    root = tree(*(f"d/{name}.png" for name in "abcde"), "d/b_mask.png") / "d"
    (root / "manifest.csv").write_text(MANIFEST)

    found = read_defects(root)

    assert found.format == "manifest"
    assert found.examples == (
        DefectExample(root / "a.png", "p", (Marking("cut", box=(2, 2, 6, 6)), Marking("dent", box=(8, 2, 16, 6))), "g"),
        DefectExample(root / "b.png", "p", (Marking("cut", mask=root / "b_mask.png"),)),
        DefectExample(root / "c.png", "p", (Marking("dent"),)),
    )
    assert [(normal.path.name, normal.group) for normal in found.normals] == [("d.png", "h")]
    assert found.categories == ("cut", "dent")
    assert [(problem.severity, "1 rows" in problem.message) for problem in found.problems] == [("info", True)]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("lost.png,cut,,", "line 3: there is no image"),
        (",cut,,", "line 3 names no image"),
        ("b.png,cut,1 2 3,", "line 3 has a box of other than four numbers"),
        ("b.png,cut,90 2 99 3,", "line 3 lies outside its image of 16 × 12 pixels"),
        ("b.png,defective,,", "line 3 has a defect without a name"),
        ("b.png,combined,,", "line 3 shows several kinds of defect"),
        ("b.png,cut,,lost_mask.png", "line 3: there is no mask"),
    ],
)
def test_one_bad_row_loses_no_other(tree: Any, row: str, words: str) -> None:
    root = tree("d/a.png", "d/b.png") / "d"
    (root / "manifest.csv").write_text(f"path,label,box,mask\na.png,cut,,\n{row}\n")

    found = read_defects(root / "manifest.csv")

    assert found.examples[0] == DefectExample(root / "a.png", None, (Marking("cut"),))
    (problem,) = found.problems
    assert words in problem.message
    assert problem.remedy
    assert found.normals == ()


def test_json_lines_are_told_from_other_json(tree: Any) -> None:
    root = tree("d/a.png") / "d"
    (root / "x.json").write_text(json.dumps({"path": "a.png", "label": "cut", "box": [[1, 1, 3, 3], [4, 4, 6, 6]]}))

    found = read_defects(root / "x.json")

    assert found.format == "manifest"
    assert [marking.box for marking in found.examples[0].markings] == [(1, 1, 3, 3), (4, 4, 6, 6)]


def test_an_example_of_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    boxes = ((1.0, 1.0, 2.0, 2.0), (3.0, 3.0, 4.0, 4.0))
    masked = Sample(path, "p", "train", "defective", "cut", tmp_path / "m.png", "g", boxes)
    boxed = Sample(path, "p", "train", "defective", "cut", boxes=boxes)

    assert DefectExample.of(masked) == DefectExample(path, "p", (Marking("cut", mask=tmp_path / "m.png"),), "g")
    assert DefectExample.of(boxed) == DefectExample(path, "p", tuple(Marking("cut", box=box) for box in boxes))
    assert DefectExample.of(Sample(path, "p", "train", "defective", "cut")) == DefectExample(
        path, "p", (Marking("cut"),)
    )
    assert DefectExample.of(Sample(path, "p", "train", "defective")) is None
    assert DefectExample.of(Sample(path, "p", "train", "normal")) is None


@pytest.mark.parametrize(
    ("names", "root", "words"),
    [
        (("d/0.png",), "d", ("no labelled defects that Blemish knows", "0.png", "COCO JSON", "LabelMe", "YOLO")),
        ((), "d", ("it is empty",)),
        ((), "lost", ("There is no file or folder",)),
        (("d/0.png",), "d/0.png", ("a file that ends in '.png'",)),
        (("d/good/0.png",), "d", ("no labelled defect that can be used",)),
    ],
)
def test_nothing_to_read_says_what_was_found(tree: Any, tmp_path: Path, names: Any, root: str, words: Any) -> None:
    (tmp_path / "d").mkdir()
    tree(*names)

    with pytest.raises(DataError) as caught:
        read_defects(tmp_path / root)

    for word in (str(tmp_path / root), *words):
        assert word in str(caught.value)
    assert caught.value.remedy


def test_real_circuit_boards(shared: Path) -> None:
    root = shared / "data/printed_circuit/pcb"
    if not root.is_dir():
        pytest.skip("no printed circuits")

    found = read_defects(root)

    assert found.categories == ("copper", "mousebite", "open", "pin_hole", "short", "spur")
    assert all(example.path.parent.parent.name == "train" for example in found.examples)
    assert all(marking.mask is not None for example in found.examples for marking in example.markings)
    assert [problem.severity for problem in found.problems] == ["info"]
