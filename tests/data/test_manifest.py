from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blemish.data import Dataset, Sample
from blemish.data.layouts.manifest import read_manifest, write_manifest
from blemish.errors import BlemishError, DataError

pytestmark = pytest.mark.core

ROW = {"path": "a.png", "product": "p", "split": "test", "label": "defective", "defect": "cut", "mask": "a_mask.png"}


@pytest.fixture
def root(tree: Any) -> Path:
    folder: Path = tree("m/a.png", "m/b.png", "m/c.png", "m/a_mask.png") / "m"
    return folder


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "path,product,split,label,defect,mask,group\na.png,p,test,defective,cut,a_mask.png,g\n"),
        ("x.csv", "Group;Mask;Defect;Label;Split;Product;Path\r\ng;a_mask.png;cut;NG;Test;p;./a.png\r\n"),
        ("x.jsonl", json.dumps({**ROW, "group": "g"}) + "\n\n"),
        ("x.json", json.dumps({**ROW, "label": 1, "group": "g"})),
        (
            "test.jsonl",
            '{"filename":"a.png","clsname":"p","label":1,"label_name":"cut","maskname":"a_mask.png","group":"g"}',
        ),
        ("manifest.csv", "path,product,split,defect,mask,group\na.png,p,test,cut,a_mask.png,g\n"),
    ],
)
def test_ways_to_write_one_row(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text, encoding="utf-8")
    expected = Sample(root / "a.png", "p", "test", "defective", "cut", root / "a_mask.png", "g")

    data = Dataset.from_manifest(root / name)

    assert data.samples == (expected,)
    assert data.problems == ()
    if name == "manifest.csv":
        assert Dataset.from_folder(root) == data


def test_defaults(root: Path) -> None:
    (root / "x.csv").write_text("path,defect\na.png,\nb.png,good\nc.png,cut\n")

    listing = read_manifest(root / "x.csv")

    assert not listing.has_split
    assert [(s.product, s.label, s.defect) for s in listing.samples] == [
        ("m", "normal", None),
        ("m", "normal", None),
        ("m", "defective", "cut"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "defect", "boxes"),
    [
        ("x.csv", 'path,label,box\na.png,cut,"1,2,3.5,4"\n', "cut", ((1, 2, 3.5, 4),)),
        ("x.csv", "path,label,box\na.png,Cut,1 2 3 4; 5 6 7 8;\n", "Cut", ((1, 2, 3, 4), (5, 6, 7, 8))),
        ("x.csv", "path;label;box\na.png;defective;1,2,3,4\n", None, ((1, 2, 3, 4),)),
        ("x.csv", "path,label,defect,box\na.png,3,cut,1 2 3 4\n", "cut", ((1, 2, 3, 4),)),
        ("x.csv", "path,label,box\na.png,,1 2 3 4\n", None, ((1, 2, 3, 4),)),
        ("x.jsonl", '{"path": "a.png", "label": "cut", "box": [1, 2, 3, 4]}', "cut", ((1, 2, 3, 4),)),
        ("x.jsonl", '{"path": "a.png", "label": "cut", "box": [[1, 2, 3, 4], [5, 6, 7, 8.5]]}', "cut",
         ((1, 2, 3, 4), (5, 6, 7, 8.5))),
        ("x.jsonl", '{"path": "a.png", "label": "cut", "box": []}', "cut", ()),
        ("x.csv", "path,label,box\na.png,cut,1 2 3 4\na.png,cut,5 6 7 8\na.png,cut,1 2 3 4\n", "cut",
         ((1, 2, 3, 4), (5, 6, 7, 8))),
        ("x.csv", "path,label,box\na.png,cut,1 2 3 4\na.png,dent,5 6 7 8\n", "combined",
         ((1, 2, 3, 4), (5, 6, 7, 8))),
    ],
)  # fmt: skip
def test_boxes_and_category_as_label(root: Path, name: str, text: str, defect: Any, boxes: Any) -> None:
    (root / name).write_text(text)

    (sample,) = read_manifest(root / name).samples

    assert (sample.label, sample.defect, sample.boxes) == ("defective", defect, boxes)


def test_manifests_of_one_folder_share_their_products(root: Path) -> None:
    (root / "train.jsonl").write_text('{"filename": "a.png", "label": 0, "clsname": "p"}')
    (root / "test.jsonl").write_text('{"filename": "b.png", "label": 0, "clsname": "p"}')

    data = Dataset.from_folder(root / "train.jsonl", root / "test.jsonl")

    assert [(s.path.name, s.product, s.split) for s in data] == [("a.png", "p", "train"), ("b.png", "p", "test")]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "", "lists 0 images"),
        ("x.csv", "path\nnowhere.png\n", "none of them exists"),
        ("x.csv", "file\na.png\n", "line 2 names no image"),
        ("x.csv", "path,label,defect\na.png,hole,cut\n", "has the label 'hole' and the defect 'cut'"),
        ("x.csv", "path,box\na.png,1 2 3\n", "other than four numbers"),
        ("x.csv", "path,box\na.png,1 2 x 4\n", "the box '1 2 x 4', which is no list of numbers"),
        ("x.csv", "path,box\na.png,1 2 1 4\n", "the box 1,2,1,4 without area"),
        ("x.csv", "path,box\na.png,1 2 1e9 nan\n", "a coordinate that no image can have"),
        ("x.csv", "path,box\na.png,1,2,3,4\n", "has 5 columns, its header 2"),
        ("x.jsonl", '{"path": "a.png", "box": {"left": 1}}\n', "no list of numbers"),
        ("x.jsonl", '{"path": "a.png", "box": [[1, 2, 3, true]]}\n', "no list of numbers"),
        (
            "x.csv",
            "path,split,box\na.png,,1 2 3 4\na.png,,2 2 3 4\na.png,,1 2 3 5\nb.png,test,\n",
            "line 2 has no split",
        ),
        ("x.csv", "path,split,box\na.png,train,1 2 3 4\na.png,test,2 2 3 4\n", "line 3 contradicts line 2"),
        ("x.csv", "path,split\na.png,val\n", "has the split 'val'"),
        ("x.csv", "path,label,defect\na.png,normal,cut\n", "labelled normal and has the defect 'cut'"),
        ("x.csv", "path,label\na.png,normal\nb.png,bad\na.png,bad\n", "line 4 contradicts line 2"),
        ("x.csv", "path,split\na.png,train\nb.png,\n", "line 3 has no split, but other rows have"),
        ("x.csv", "path,split\na.png,\na.png,\nb.png,train\n", "line 2 has no split, but other rows have"),
        ("x.csv", "path,label\na.png,normal,more,columns\n", "has 4 columns, its header 2"),
        ("x.csv", 'path\n"a.png\n', "is not CSV"),
        ("x.jsonl", '{"path": "a.png"}\n[1]\n', "line 2 is not a JSON object"),
        ("x.jsonl", "path\n", "line 1 is not a JSON object"),
        ("x.jsonl", "[" * 100_000, "line 1 is not a JSON object"),
        ("x.csv", "path\nb\0.png\n", "none of them exists" if sys.version_info >= (3, 11) else "contains NUL"),
        ("x.csv", f"path\n{'b' * 5000}.png\n", "none of them exists"),
    ],
)
def test_bad_manifests_name_file_and_line(root: Path, name: str, text: str, words: str) -> None:
    (root / name).write_text(text, encoding="utf-8")

    with pytest.raises(DataError) as caught:
        Dataset.from_manifest(root / name)

    assert str(root / name) in str(caught.value)
    assert words in str(caught.value)
    assert caught.value.remedy


def test_missing_files_are_named_and_the_rest_is_kept(root: Path) -> None:
    (root / "x.csv").write_text("path,mask,split\na.png,lost_mask.png,test\nlost.png,,train\nb.png,,train\n")

    data = Dataset.from_manifest(root / "x.csv")

    assert [(s.path.name, s.mask) for s in data] == [("a.png", None), ("b.png", None)]
    assert data.samples[0].defective
    assert {problem.path.name for problem in data.problems} == {"lost_mask.png", "lost.png"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_any_content_is_read_or_refused_politely(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    file.write_bytes(content)

    with pytest.raises(BlemishError, match=r".+"):
        Dataset.from_manifest(file)


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="/\\"), min_size=1, max_size=12
).map(lambda text: f"x{text}x")
EDGES = st.floats(-1e5, 1e5, allow_nan=False).map(lambda edge: edge + 0.0)  # without −0.0
BOXES = st.lists(
    st.tuples(EDGES, EDGES, EDGES, EDGES).map(
        lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]) + 1, max(box[1], box[3]) + 1)
    ),
    max_size=3,
).map(tuple)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(NAMES, NAMES, st.booleans(), st.booleans(), NAMES, BOXES), max_size=5),
    suffix=st.sampled_from([".csv", ".jsonl"]),
)
def test_what_is_written_is_read_back(tmp_path: Path, rows: list[Any], suffix: str) -> None:
    samples = {
        tmp_path / name: Sample(
            tmp_path / name,
            product,
            "train" if trains else "test",
            "defective" if defective else "normal",
            text if defective else None,
            None,
            f"{text} {trains}",  # a group on both sides would test wholly
            boxes if defective else (),
        )
        for name, product, trains, defective, text, boxes in [*rows, ("x", "p", True, False, "g", ())]
    }
    for path in samples:
        path.touch()

    Dataset(tuple(samples.values())).write_manifest(tmp_path / f"manifest{suffix}")
    back = Dataset.from_manifest(tmp_path / f"manifest{suffix}")

    assert set(back) == set(samples.values())
    assert not list(tmp_path.glob(".manifest*"))
    for path in samples:
        path.unlink()


@pytest.mark.parametrize("name", ["x.txt", "a-file/x.csv"])
def test_a_manifest_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").write_text("in the way")
    with pytest.raises(BlemishError, match=r"x\."):
        write_manifest([], tmp_path / name)


def test_a_name_that_is_not_unicode_is_refused_and_leaves_the_old_manifest(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("old")

    with pytest.raises(DataError, match="not valid Unicode"):
        write_manifest([Sample(tmp_path / "a\udcff.png", "p", "train", "normal")], tmp_path / "x.csv")

    assert (tmp_path / "x.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
