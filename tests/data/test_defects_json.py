"""COCO and LabelMe."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.data.decode import read_image
from blemish.data.defects import Marking, Runs, rasterise, read_defects
from blemish.data.defects.runs import encode_counts
from blemish.errors import DataError

pytestmark = pytest.mark.core

IMAGES = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
CATEGORIES = [{"id": 7, "name": "cut"}, {"id": 8, "name": "dent"}, {"id": 9, "name": "good"}]
TRIANGLE = [1, 1, 9, 1, 1, 9]
MASK = np.zeros((12, 16), dtype=bool)
MASK[2:5, 3:6] = True


def coco(root: Path, *annotations: dict[str, Any], name: str = "defects.json", **lists: Any) -> Path:
    root.mkdir(exist_ok=True)
    rows = [
        {"id": 100 + index, "image_id": 1, "category_id": 7, **annotation}
        for index, annotation in enumerate(annotations)
    ]
    data = {"images": IMAGES, "annotations": rows, "categories": CATEGORIES, **lists}
    (root / name).write_text(json.dumps(data))
    return root


def labelme(root: Path, *shapes: dict[str, Any], name: str = "a", **fields: Any) -> Path:
    rows = [{"label": "cut", "shape_type": "polygon", **shape} for shape in shapes]
    data = {"version": "5", "imagePath": f"{name}.png", "imageData": "x" * 99, "shapes": rows, **fields}
    (root / f"{name}.json").write_text(json.dumps(data))
    return root


@pytest.fixture
def root(tree: Any) -> Path:
    folder: Path = tree("d/a.png", "d/b.png") / "d"
    return folder


@pytest.mark.parametrize(
    ("annotation", "marking"),
    [
        ({"segmentation": [TRIANGLE]}, Marking("cut", polygon=((1, 1), (9, 1), (1, 9)))),
        ({"segmentation": [[*TRIANGLE, 1, 1]]}, Marking("cut", polygon=((1, 1), (9, 1), (1, 9)))),
        ({"segmentation": [TRIANGLE], "bbox": [1, 1, 8, 8]}, Marking("cut", polygon=((1, 1), (9, 1), (1, 9)))),
        ({"segmentation": [[3, 2, 6, 2, 6, 5], [6, 5, 3, 5, 3, 2]]}, Marking("cut", runs=Runs.of(MASK))),
        ({"segmentation": [TRIANGLE], "bbox": [0, 0, 0, 0]}, Marking("cut", polygon=((1, 1), (9, 1), (1, 9)))),
        (
            {"segmentation": {"size": [12, 16], "counts": list(Runs.of(MASK).counts)}},
            Marking("cut", runs=Runs.of(MASK)),
        ),
        (
            {"segmentation": {"size": [12, 16], "counts": encode_counts(Runs.of(MASK).counts)}, "iscrowd": 1},
            Marking("cut", runs=Runs.of(MASK)),
        ),
        ({"segmentation": [], "bbox": [1.5, 2, 3, 4]}, Marking("cut", box=(1.5, 2, 4.5, 6))),
        ({"bbox": [-3, -3, 99, 99], "category_id": "8"}, Marking("dent", box=(0, 0, 16, 12))),
        ({"category_id": 8.0}, Marking("dent")),
    ],
    ids=[
        "polygon",
        "closed",
        "polygon and box",
        "parts",
        "polygon and empty box",
        "runs",
        "compressed",
        "box",
        "box cut to the image",
        "label",
    ],
)
def test_coco_annotations(root: Path, annotation: Any, marking: Marking) -> None:
    found = read_defects(coco(root, annotation))

    assert found.format == "COCO JSON"
    assert found.problems == ()
    (example,) = found.examples
    assert (example.path, example.product) == (root / "a.png", None)
    assert [normal.path for normal in found.normals] == [root / "b.png"]
    assert example.markings == (marking,)


def test_coco_parts_with_a_hole(root: Path) -> None:
    outer, inner = [2, 2, 10, 2, 10, 10, 2, 10], [4, 4, 8, 4, 8, 8, 4, 8]

    (example,) = read_defects(coco(root, {"segmentation": [inner, outer]})).examples

    expected = np.zeros((12, 16), dtype=bool)
    expected[2:10, 2:10] = True
    expected[4:8, 4:8] = False
    (runs,) = [marking.runs for marking in example.markings]
    assert runs is not None
    assert np.array_equal(runs.mask(), expected)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"image_id": 5}, "annotation 101 belongs to the image 5, which is not listed"),
        ({"image_id": [1]}, "image None"),
        ({"category_id": 3}, "annotation 101 has the category 3, which is not listed"),
        ({"bbox": [1, 2, 3]}, "annotation 101 has a bbox of 3 numbers"),
        ({"bbox": [1, 2, 0, 4]}, "annotation 101 has a bbox without area"),
        ({"bbox": [1, 2, -3, 4]}, "annotation 101 has a bbox without area"),
        ({"bbox": [50, 2, 3, 4]}, "annotation 101 lies outside its image of 16 × 12 pixels"),
        ({"bbox": "1,2,3,4"}, "annotation 101 has a bbox that is no list of numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "no list of numbers"),
        ({"bbox": [1, 2, 3, 10**400]}, "no list of numbers"),
        ({"segmentation": [[1, 1, 2, 2]]}, "a polygon of 4 numbers"),
        ({"segmentation": [[1, 1, 2, 2, 3, 3, 4]]}, "a polygon of 7 numbers"),
        ({"segmentation": [[90, 1, 99, 1, 99, 9]]}, "outside its image"),
        ({"segmentation": {"size": [12, 16], "counts": [5]}}, "annotation 101: A mask of 16 × 12 pixels"),
        ({"segmentation": {"size": [12, 16], "counts": [192]}}, "without a defective pixel"),
        ({"segmentation": {"counts": [5]}}, "without a size"),
        ({"segmentation": {"size": [12, 16], "counts": "5~"}}, "annotation 101: Compressed run lengths hold '~'"),
        ({"segmentation": 5}, "neither polygons nor run lengths"),
    ],
)
def test_one_bad_coco_annotation_loses_no_other(root: Path, annotation: Any, words: str) -> None:
    found = read_defects(coco(root, {"segmentation": [TRIANGLE]}, annotation))

    assert [len(example.markings) for example in found.examples] == [1]
    (problem,) = found.problems
    assert problem.path == root / "defects.json"
    assert words in problem.message
    assert problem.remedy


def test_an_image_whose_annotation_is_bad_is_not_normal(root: Path) -> None:
    found = read_defects(coco(root, {"bbox": [1, 1, 4, 4]}, {"image_id": 2, "bbox": [1]}))

    assert found.normals == ()
    assert len(found.problems) == 1


def test_a_bad_segmentation_leaves_its_box(root: Path) -> None:
    found = read_defects(coco(root, {"segmentation": [[1, 2]], "bbox": [1, 1, 4, 4]}))

    assert found.examples[0].markings == (Marking("cut", box=(1, 1, 5, 5)),)
    assert "Its box is used" in found.problems[0].message


def test_what_is_labelled_good_stays_normal(root: Path) -> None:
    found = read_defects(coco(root, {"bbox": [1, 1, 4, 4]}, {"image_id": 2, "category_id": 9, "bbox": [1, 1, 4, 4]}))

    assert [normal.path.name for normal in found.normals] == ["b.png"]
    assert found.categories == ("cut",)


@pytest.mark.parametrize(
    ("image", "file", "json_at"),
    [
        ("d/a.png", "a.png", "d/x.json"),
        ("d/images/a.png", "a.png", "d/x.json"),
        ("d/images/a.png", "images/a.png", "d/x.json"),
        ("d/images/a.png", "images\\a.png", "d/x.json"),
        ("d/images/a.png", "a.png", "d/annotations/x.json"),
        ("d/train2017/a.png", "a.png", "d/annotations/instances_train2017.json"),
        ("e/a.png", "../e/a.png", "d/x.json"),
        ("d/train/a.png", "a.png", "d/train/_annotations.coco.json"),
    ],
)
def test_where_the_images_of_coco_lie(tree: Any, image: str, file: str, json_at: str) -> None:
    base = tree(image)
    (base / json_at).parent.mkdir(parents=True, exist_ok=True)
    target = base / json_at
    coco(target.parent, {"bbox": [1, 1, 4, 4]}, name=target.name, images=[{"id": 1, "file_name": file}])

    assert [example.path for example in read_defects(base / "d").examples] == [base / image]
    assert read_defects(target).examples == read_defects(base / "d").examples


def test_missing_and_damaged_images_are_named_once(root: Path) -> None:
    (root / "c.png").write_text("no image")
    images = [
        *IMAGES,
        {"id": 3, "file_name": "c.png"},
        {"id": 4, "file_name": "lost.png"},
        {"id": 4, "file_name": "b.png"},
    ]
    boxes = [{"image_id": number, "bbox": [1, 1, 4, 4]} for number in (1, 3, 3, 4, 4)]

    found = read_defects(coco(root, *boxes, images=[*images, "b.png"]))

    assert [example.path.name for example in found.examples] == ["a.png"]
    messages = [problem.message for problem in found.problems]
    assert len(messages) == 4
    for words in ("c.png is not an image", "there is no file lost.png", "the id 4, as has another", "has no id or no"):
        assert sum(words in message for message in messages) == 1


def test_validation_and_test_parts_teach_nothing(tree: Any) -> None:
    base = tree("d/images/a.png", "d/images/b.png")
    for name, image in (("instances_train2017.json", "a.png"), ("instances_val2017.json", "b.png")):
        target = base / "d/annotations"
        coco(target, {"bbox": [1, 1, 4, 4]}, name=name, images=[{"id": 1, "file_name": image}])

    found = read_defects(base / "d")

    assert [example.path.name for example in found.examples] == ["a.png"]
    assert [(problem.severity, "left out" in problem.message) for problem in found.problems] == [("info", True)]
    named = read_defects(base / "d/annotations/instances_val2017.json")
    assert [example.path.name for example in named.examples] == ["b.png"]


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["polygon", "box", "runs", "labelme"])
def test_places_on_images_that_exif_turns(tmp_path: Path, orientation: int, kind: str) -> None:
    stored = np.zeros((32, 48), dtype=np.uint8)
    stored[4:12, 8:14] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = read_image(tmp_path / "a.png")[..., 0] > 127
    # only a turn on its side can be told from the size; otherwise places are meant as one sees them
    truth = stored > 127 if orientation >= 5 else upright
    height, width = truth.shape
    rows, columns = np.nonzero(truth)
    left, top, right, bottom = map(int, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    if kind == "labelme":
        labelme(tmp_path, {"points": corners}, imageWidth=width, imageHeight=height)
    else:
        annotation = {
            "polygon": {"segmentation": [[value for corner in corners for value in corner]]},
            "box": {"bbox": [left, top, right - left, bottom - top]},
            "runs": {"segmentation": {"size": [height, width], "counts": list(Runs.of(truth).counts)}},
        }[kind]
        coco(tmp_path, annotation, images=[{"id": 1, "file_name": "a.png", "width": width, "height": height}])

    found = read_defects(tmp_path)

    assert found.problems == ()
    size = upright.shape[1], upright.shape[0]
    assert np.array_equal(
        rasterise(found.examples[0].markings[0], size, 48),
        rasterise(Marking("cut", runs=Runs.of(upright)), size, 48),
    )


def test_places_drawn_on_a_scaled_copy_are_scaled_and_said_so(root: Path) -> None:
    images = [{"id": 1, "file_name": "a.png", "width": 32, "height": 48}]

    found = read_defects(coco(root, {"bbox": [2, 4, 4, 8]}, images=images))

    assert found.examples[0].markings == (Marking("cut", box=(1, 1, 3, 3)),)
    assert "was annotated at 32 × 48" in found.problems[0].message


def png(mask: Any) -> str:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    ("shape", "marking"),
    [
        ({"points": [[1, 1], [9, 1], [1, 9]]}, Marking("cut", polygon=((1, 1), (9, 1), (1, 9)))),
        ({"points": [[1, 1], [9, 1], [1, 9]], "shape_type": None}, Marking("cut", polygon=((1, 1), (9, 1), (1, 9)))),
        ({"points": [[9, 2], [1, 5]], "shape_type": "rectangle"}, Marking("cut", box=(1, 2, 9, 5))),
        ({"points": [[8, 6]], "shape_type": "point"}, Marking("cut", box=(7.625, 5.625, 8.375, 6.375))),
        (
            {"points": [[3, 2], [5, 4]], "shape_type": "mask", "mask": png(MASK[2:5, 3:6])},
            Marking("cut", runs=Runs.of(MASK)),
        ),
    ],
)
def test_labelme_shapes(root: Path, shape: Any, marking: Marking) -> None:
    labelme(root, name="b")

    found = read_defects(labelme(root, shape))

    assert found.format == "LabelMe"
    assert found.problems == ()
    assert [(example.path.name, example.markings) for example in found.examples] == [("a.png", (marking,))]
    assert [normal.path.name for normal in found.normals] == ["b.png"]


@pytest.mark.parametrize(
    ("shape", "area", "inside", "outside"),
    [
        ({"points": [[50, 50], [50, 80]], "shape_type": "circle"}, np.pi * 900, (50, 50), (30, 22)),
        ({"points": [[20, 50], [80, 50]], "shape_type": "line"}, 60 * 3 + np.pi * 2.25, (50, 50), (50, 53)),
        ({"points": [[20, 20], [20, 80], [80, 80]], "shape_type": "linestrip"}, 366, (80, 79), (50, 50)),
    ],
)
def test_labelme_circles_and_lines_have_an_area(tree: Any, shape: Any, area: float, inside: Any, outside: Any) -> None:
    root = labelme(tree("a.png", size=(100, 100)), shape)

    (marking,) = read_defects(root).examples[0].markings
    mask = rasterise(marking, (100, 100), 100)

    assert mask is not None
    assert marking.exact
    assert mask.sum() == pytest.approx(area, rel=0.04)
    assert mask[inside[1], inside[0]]
    assert not mask[outside[1], outside[0]]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"points": []}, "shape 2 has no points"),
        ({"points": [[1, 1], [2, 2]]}, "shape 2, a polygon, has 2 points"),
        ({"points": [[1, 1]], "shape_type": "circle"}, "shape 2, a circle, has 1 points"),
        ({"points": [[1, 1, 1]]}, "a point of 3 numbers"),
        ({"points": [[1, "1"]]}, "a point that is no list of numbers"),
        ({"points": [[1, 1], [2, 2]], "shape_type": "spline"}, "unknown type 'spline'"),
        ({"points": [[1, 1], [2, 2]], "shape_type": [1]}, "unknown type '[1]'"),
        ({"points": [[1, 1], [2, 2]], "shape_type": "mask", "mask": "AAAA"}, "a mask that cannot be read"),
        ({"points": [[1, 1], [2, 2]], "shape_type": "mask"}, "a mask that cannot be read"),
        ({"points": [[1, 1], [2, 2], [3, 1]], "label": None}, "shape 2 has no label"),
        ({"points": [[1, 1], [2, 2], [3, 1]], "label": " "}, "names no defect"),
        ({"points": [[91, 1], [92, 2], [93, 1]]}, "outside its image"),
    ],
)
def test_one_bad_labelme_shape_loses_no_other(root: Path, shape: Any, words: str) -> None:
    found = read_defects(labelme(root, {"points": [[1, 1], [9, 1], [1, 9]]}, shape))

    assert [len(example.markings) for example in found.examples] == [1]
    (problem,) = found.problems
    assert problem.path == root / "a.json"
    assert words in problem.message
    assert problem.remedy


def test_labelme_flags_speak_for_the_whole_image(root: Path) -> None:
    labelme(root, name="b", flags={"good": True, "cut": False})

    found = read_defects(labelme(root, flags={"cut": True, "dent": False}))

    assert [example.markings for example in found.examples] == [(Marking("cut"),)]
    assert [normal.path.name for normal in found.normals] == ["b.png"]


def test_labelme_images_are_found_by_their_own_name_and_lost_ones_named(root: Path) -> None:
    labelme(root, {"points": [[1, 1], [9, 1], [1, 9]]}, imagePath="C:\\elsewhere\\b.png")
    labelme(root, {"points": [[1, 1], [9, 1], [1, 9]]}, name="c", imagePath="..\\lost.png")

    found = read_defects(root)

    assert [example.path.name for example in found.examples] == ["b.png"]
    assert "belongs to the image ..\\lost.png, which does not exist" in found.problems[0].message


def test_other_json_files_are_named(root: Path) -> None:
    (root / "x.json").write_text("{")
    (root / "y.json").write_text("[]")
    (root / "z.json").write_bytes(b"\xff\xfe")

    found = read_defects(labelme(root, {"points": [[1, 1], [9, 1], [1, 9]]}))

    assert len(found.examples) == 1
    assert {(problem.path.name, problem.severity) for problem in found.problems} == {
        ("x.json", "warning"),
        ("y.json", "info"),
        ("z.json", "warning"),
    }


def test_nothing_usable_says_why(root: Path) -> None:
    with pytest.raises(DataError, match=r"read as COCO JSON, .*annotation 100 has a bbox of 1 numbers") as caught:
        read_defects(coco(root, {"bbox": [1]}))

    assert caught.value.remedy
