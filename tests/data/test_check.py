from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.data import Dataset
from blemish.data.check import CheckReport, check

pytestmark = pytest.mark.core

MVTEC = (
    *(f"p/train/good/{i}.png" for i in range(3)),
    "p/train/cut/9.png",
    "p/test/good/0.png",
    "p/test/cut/0.png",
    "p/test/dent/0.png",
    "p/test/dent/1.png",
    "p/ground_truth/cut/0_mask.png",
    "p/ground_truth/cut/9_mask.png",
    "p/ground_truth/dent/0_mask.png",
    "p/ground_truth/dent/1_mask.png",
)


def report(root: Path) -> CheckReport:
    return check(Dataset.from_folder(root))


def found(done: CheckReport) -> set[tuple[str, str]]:
    return {(problem.severity, problem.path.name) for problem in done.problems}


def test_counts(tree: Any) -> None:
    steps: list[tuple[int, int]] = []

    done = check(Dataset.from_folder(tree(*MVTEC) / "p"), lambda step, total: steps.append((step, total)))

    (product,) = done.products
    assert (product.train_normal, product.test_normal, product.masks) == (3, 1, 4)
    assert product.train_defective == {"cut": 1}
    assert product.test_defective == {"cut": 1, "dent": 2}
    assert product.sizes is not None
    assert product.sizes.common == product.sizes.smallest == product.sizes.largest == (16, 12)
    assert product.depths == (8,)
    assert done.problems == ()
    assert not done.fatal
    assert steps == [(step, 8) for step in range(1, 9)]


def replace_with(name: str, image: Image.Image) -> Any:
    return lambda root: image.save(root / name)


def truncate(name: str) -> Any:
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:200])


def copy(source: str, target: str) -> Any:
    return lambda root: Image.open(root / source).save(root / target)


def delete(*names: str) -> Any:
    def act(root: Path) -> None:
        for name in names:
            (root / name).unlink()

    return act


GREY16 = Image.fromarray(np.arange(192, dtype=np.uint16).reshape(12, 16))
BLACK, WHITE = Image.new("L", (16, 12)), Image.new("L", (16, 12), 255)


@pytest.mark.parametrize(
    ("change", "severity", "name", "words"),
    [
        pytest.param(truncate("train/good/1.png"), "warning", "1.png", "damaged or cut off", id="truncated"),
        pytest.param(truncate("test/cut/0.png"), "warning", "0.png", "damaged or cut off", id="truncated in test"),
        pytest.param(
            replace_with("train/good/1.png", Image.new("L", (1, 1))), "warning", "1.png", "1 × 1 pixels", id="one pixel"
        ),
        pytest.param(
            lambda root: (root / "train/good/1.png").write_text("hello"), "warning", "1.png", "not an image", id="text"
        ),
        pytest.param(
            lambda root: (root / "ground_truth/cut/0_mask.png").write_text("hello"),
            "warning",
            "0_mask.png",
            "not an image",
            id="mask is text",
        ),
        pytest.param(
            replace_with("ground_truth/cut/0_mask.png", Image.new("L", (20, 12), 255)),
            "warning",
            "0_mask.png",
            "20 × 12 pixels, its image 16 × 12",
            id="mask of another size",
        ),
        pytest.param(
            replace_with("ground_truth/cut/0_mask.png", Image.new("L", (12, 16), 255)),
            "warning",
            "0_mask.png",
            "12 × 16 pixels, its image 16 × 12",
            id="mask lies on its side",
        ),
        pytest.param(
            replace_with("ground_truth/cut/0_mask.png", BLACK), "warning", "0_mask.png", "is empty", id="empty mask"
        ),
        pytest.param(
            delete("ground_truth/cut/0_mask.png"), "warning", "0.png", "has no mask", id="one image without mask"
        ),
        pytest.param(delete("test/cut/0.png"), "warning", "0_mask.png", "has no image", id="mask without image"),
        pytest.param(
            copy("train/good/0.png", "test/good/7.png"), "warning", "7.png", "in train and in test", id="leak"
        ),
        pytest.param(
            copy("test/good/0.png", "test/dent/1.png"), "warning", "1.png", "different labels", id="contradiction"
        ),
        pytest.param(
            replace_with("train/good/1.png", GREY16), "warning", "p", "mixes images of 8 and 16 bits", id="depths"
        ),
        pytest.param(
            delete("train/good/0.png", "train/good/1.png"), "warning", "p", "a single normal", id="one normal"
        ),
        pytest.param(
            delete(*(f"train/good/{i}.png" for i in range(3))), "fatal", "p", "no normal training", id="no normals"
        ),
        pytest.param(delete("test/good/0.png"), "info", "p", "no normal test images", id="no normal test"),
    ],
)
def test_one_thing_wrong(tree: Any, change: Any, severity: str, name: str, words: str) -> None:
    root = tree(*MVTEC) / "p"
    change(root)

    done = report(root)

    (problem,) = done.problems
    assert problem.severity == severity
    assert words in problem.message
    assert problem.path.name == name or f"/{name}" in problem.message
    assert done.fatal == (severity == "fatal")
    assert done.products[0].product == "p"


def test_unreadable_training_images_are_no_training_images(tree: Any) -> None:
    root = tree(*MVTEC) / "p"
    for index in range(3):
        truncate(f"train/good/{index}.png")(root)

    done = report(root)

    assert done.fatal
    assert done.problems[0].severity == "fatal"
    assert len(done.products[0].unreadable) == 3
    assert len(done.problems) == 4


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("p/a.png", "p/b.png"), "has no test images"),
        (("p/train/good/0.png", "p/train/good/1.png", "p/test/good/0.png"), "has no defective test images"),
    ],
)
def test_notes(tree: Any, names: tuple[str, ...], words: str) -> None:
    (problem,) = report(tree(*names) / "p").problems

    assert problem.severity == "info"
    assert words in problem.message


def test_an_empty_product_among_others_is_fatal(tree: Any) -> None:
    root = tree("all/p/0.png", "all/p/1.png")
    (root / "all/q").mkdir()

    done = report(root / "all")

    assert done.fatal
    assert ("fatal", "q") in found(done)
    assert [product.product for product in done.products] == ["p"]


def test_duplicates_in_other_formats_and_products(tree: Any) -> None:
    root = tree(*MVTEC, "q/0.png", "q/1.png")
    copy("p/train/good/0.png", "p/test/good/7.bmp")(root)
    copy("p/train/good/0.png", "p/train/good/8.bmp")(root)
    copy("p/test/good/0.png", "q/2.png")(root)

    done = check(Dataset.from_folder(root / "p", root / "q"))

    assert [product.leaks for product in done.products] == [2, 0]
    assert [(len(same.samples), same.leaks, same.contradicts) for same in done.duplicates] == [
        (2, True, True),
        (3, True, False),
    ]


def test_duplicates_within_train_are_counted_and_no_problem(tree: Any) -> None:
    root = tree(*MVTEC) / "p"
    copy("train/good/0.png", "train/good/7.png")(root)

    done = report(root)

    assert len(done.duplicates) == 1
    assert done.problems == ()


def test_deep_images_that_use_a_part_of_their_range_are_told_apart(tmp_path: Path) -> None:
    for index in range(20):
        noise = np.random.default_rng(index).integers(2000, 2100, (32, 32)).astype(np.uint16)
        if index == 7:
            noise[8:24, 8:24] = 2100
        Image.fromarray(noise).save(tmp_path / f"{index}.png")

    (product,) = report(tmp_path).products

    assert product.depths == (16,)
    assert [one.path.name for one in product.atypical] == ["7.png"]


def test_boxes_are_no_masks_and_lie_in_their_images(tree: Any) -> None:
    root = tree("p/a.png", "p/b.png", "p/c.png", "p/d.png") / "p"
    rows = ["a.png,normal,train,", "b.png,normal,train,", "c.png,cut,test,1 1 5 5", "d.png,cut,test,1 1 5 5;16 1 20 5"]
    (root / "manifest.csv").write_text("\n".join(["path,label,split,box", *rows]))

    done = report(root)

    (product,) = done.products
    assert product.test_defective == {"cut": 2}
    assert product.masks == 0
    assert found(done) == {("warning", "d.png"), ("info", "p")}
    assert any("outside the image of 16 × 12" in problem.message for problem in done.problems)


def test_the_json_form_is_json(tree: Any) -> None:
    root = tree(*MVTEC) / "p"
    truncate("test/cut/0.png")(root)
    copy("train/good/0.png", "test/good/7.png")(root)

    data = json.loads(json.dumps(report(root).to_dict()))

    assert data["schema_version"] == 1
    assert data["fatal"] is False
    assert data["layouts"] == [{"root": root.as_posix(), "layout": "MVTec AD", "products": ["p"]}]
    (product,) = data["products"]
    assert product["test_defective"] == {"cut": 1, "dent": 2}
    assert product["sizes"] == {"common": [16, 12], "smallest": [16, 12], "largest": [16, 12]}
    assert product["duplicates_across_train_and_test"] == 1
    assert product["unreadable"] == [(root / "test/cut/0.png").as_posix()]
    assert data["duplicates"][0]["across_train_and_test"] is True
    assert {problem["severity"] for problem in data["problems"]} == {"warning"}
