from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from blemish.data import Dataset
from blemish.errors import DataError

pytestmark = pytest.mark.core

MVTEC = ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/crack/0.png", "ground_truth/crack/0_mask.png")
GOOD_BAD = (*(f"good/{i}.png" for i in range(10)), "bad/a.png", "bad/b.png", "masks/a.png")
MTD = ("MT_Free/Imgs/f.jpg", "MT_Free/Imgs/f.png", "MT_Blowhole/Imgs/b.jpg", "MT_Blowhole/Imgs/b.png")
BTAD = ("train/ok/0.bmp", "test/ok/0.bmp", "test/ko/0.bmp", "ground_truth/ko/0.png")


def below(folder: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


def facts(data: Dataset) -> Counter[tuple[str, str, str, str | None, bool]]:
    return Counter((s.product, s.split, s.label, s.defect, s.mask is not None) for s in data)


@pytest.mark.parametrize(
    ("names", "root", "sentences", "expected"),
    [
        pytest.param(
            below("screw", MVTEC),
            "screw",
            ["MVTec AD, 1 product"],
            {
                ("screw", "train", "normal", None, False): 2,
                ("screw", "test", "normal", None, False): 1,
                ("screw", "test", "defective", "crack", True): 1,
            },
            id="one MVTec product",
        ),
        pytest.param(
            (*below("all/screw", MVTEC), *below("all/nut", MVTEC)),
            "all",
            ["MVTec AD, 2 products"],
            {
                (product, split, label, defect, mask): count
                for product in ("nut", "screw")
                for split, label, defect, mask, count in (
                    ("train", "normal", None, False, 2),
                    ("test", "normal", None, False, 1),
                    ("test", "defective", "crack", True, 1),
                )
            },
            id="many MVTec products",
        ),
        pytest.param(
            below("p", ("train/good/0.png", "train/cut/8.png", "test/cut/9.png", "ground_truth/cut/8_mask.png")),
            "p",
            ["MVTec AD, 1 product"],
            {
                ("p", "train", "normal", None, False): 1,
                ("p", "train", "defective", "cut", True): 1,
                ("p", "test", "defective", "cut", False): 1,
            },
            id="labelled defects in train",
        ),
        pytest.param(
            (*below("b/01", BTAD), *below("b/02", BTAD)),
            "b",
            ["BTAD, 2 products"],
            {
                (product, split, label, defect, mask): 1
                for product in ("01", "02")
                for split, label, defect, mask in (
                    ("train", "normal", None, False),
                    ("test", "normal", None, False),
                    ("test", "defective", "ko", True),
                )
            },
            id="BTAD",
        ),
        pytest.param(
            below("cap", GOOD_BAD),
            "cap",
            ["good/ and bad/, 1 product"],
            {
                ("cap", "train", "normal", None, False): 8,
                ("cap", "test", "normal", None, False): 2,
                ("cap", "test", "defective", None, True): 1,
                ("cap", "test", "defective", None, False): 1,
            },
            id="good and bad",
        ),
        pytest.param(
            below("cap", ("OK/0.png", "OK/1.png", "NG/dent/0.png", "NG/hole/0.png", "masks/dent/0_mask.png")),
            "cap",
            ["good/ and bad/, 1 product"],
            {
                ("cap", "train", "normal", None, False): 2,
                ("cap", "test", "defective", "dent", True): 1,
                ("cap", "test", "defective", "hole", False): 1,
            },
            id="bad with categories, other words, capitals",
        ),
        pytest.param(
            below("cap", ("good/0.png", "good/1.png")),
            "cap",
            ["good/ and bad/, 1 product"],
            {("cap", "train", "normal", None, False): 2},
            id="good without bad trains whole",
        ),
        pytest.param(
            below("cap", ("0.png", "1.JPG", "2.tiff", ".hidden.png", "3.webp")),
            "cap",
            ["plain folder, 1 product"],
            {("cap", "train", "normal", None, False): 4},
            id="plain folder",
        ),
        pytest.param(
            ("all/cap/0.png", "all/lid/0.png", "all/lid/1.png"),
            "all",
            ["plain folder, 2 products"],
            {("cap", "train", "normal", None, False): 1, ("lid", "train", "normal", None, False): 2},
            id="plain folders",
        ),
        pytest.param(
            below("tiles", MTD),
            "tiles",
            ["MTD, 1 product"],
            {
                ("tiles", "train", "normal", None, False): 1,
                ("tiles", "test", "defective", "blowhole", True): 1,
            },
            id="magnetic tiles",
        ),
        pytest.param(
            (*below("all/screw", MVTEC), "all/lid/0.png", *below("all/tiles", MTD), *below("all/more/nut", MVTEC)),
            "all",
            ["plain folder, 1 product", "MVTec AD, 1 product", "MTD, 1 product", "MVTec AD, 1 product"],
            None,
            id="a mixture, some further below",
        ),
    ],
)
def test_recognises(tree: Any, names: tuple[str, ...], root: str, sentences: list[str], expected: Any) -> None:
    data = Dataset.from_folder(tree(*names) / root)

    assert sorted(layout.sentence for layout in data.layouts) == sorted(sentences)
    assert data.problems == ()
    if expected is not None:
        assert facts(data) == Counter(expected)


def test_paths_are_absolute_and_masks_belong_to_their_images(tree: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(*below("screw", MVTEC))
    monkeypatch.chdir(root)

    (crack,) = Dataset.from_folder("screw").select(defect="crack")

    assert crack.path == root / "screw/test/crack/0.png"
    assert crack.mask == root / "screw/ground_truth/crack/0_mask.png"


def test_current_folder_gives_the_product_its_name(tree: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree("cap/0.png") / "cap")

    assert Dataset.from_folder(".").products == ("cap",)


VISA = """object,split,label,image,mask
candle,train,normal,candle/0.png,
candle,train,normal,candle/0.png,
candle,train,normal,candle/0.png,
candle,train,normal,candle/1.png,
candle,test,normal,candle/2.png,
candle,test,anomaly,candle/3.png,candle/3_mask.png
"""


@pytest.mark.parametrize("named", ["visa", "visa/split_csv/1cls.csv"])
def test_visa_drops_repeated_rows_and_says_so(tree: Any, named: str) -> None:
    root = tree(*below("visa/candle", ("0.png", "1.png", "2.png", "3.png", "3_mask.png")))
    (root / "visa/split_csv").mkdir()
    (root / "visa/split_csv/1cls.csv").write_text(VISA)

    data = Dataset.from_folder(root / named)

    assert data.layouts[0].sentence == "VisA, 1 product"
    assert facts(data) == {
        ("candle", "train", "normal", None, False): 2,
        ("candle", "test", "normal", None, False): 1,
        ("candle", "test", "defective", None, True): 1,
    }
    (problem,) = data.problems
    assert "1 images 3 to 3 times; 2 repeated rows were dropped" in problem.message


@pytest.mark.parametrize(
    ("extra", "file", "words"),
    [
        pytest.param("ground_truth/crack/9_mask.png", "9_mask.png", "has no image", id="mask without image"),
        pytest.param("test/crack/0.jpg", "0_mask.png", "fits two images", id="one mask for two images"),
        pytest.param("train/loose.png", "train", "lie directly in", id="image beside the categories"),
        pytest.param("validation/0.png", "validation", "was left out", id="unknown part"),
    ],
)
def test_mvtec_says_what_it_leaves_out(tree: Any, extra: str, file: str, words: str) -> None:
    data = Dataset.from_folder(tree(*below("p", (*MVTEC, extra))) / "p")

    (problem,) = data.problems
    assert problem.path.name == file
    assert words in problem.message
    assert len(data) == 4 + (extra == "test/crack/0.jpg")


def test_a_mask_serves_the_test_image_before_the_training_image(tree: Any) -> None:
    data = Dataset.from_folder(tree(*below("p", (*MVTEC, "train/crack/0.png"))) / "p")

    assert {s.split: s.mask is not None for s in data.select(defect="crack")} == {"test": True, "train": False}


@pytest.mark.parametrize(
    ("names", "left_out"),
    [
        pytest.param(("p/good/0.png", "p/bad/0.png", "p/scratch/0.png"), "scratch", id="category beside good"),
        pytest.param(("p/0.png", "p/0_mask.png"), "0_mask.png", id="mask beside its image"),
        pytest.param(("p/0.png", "p/older/0.png"), "older", id="folder beside images"),
        pytest.param((*below("p/x", MVTEC), "p/bad/0.png"), "bad", id="defects among products"),
        pytest.param((*below("p/x", MVTEC), "p/docs/a/b/c/0.png"), "docs", id="unknown folder among products"),
    ],
)
def test_images_that_may_be_defective_never_train(tree: Any, names: tuple[str, ...], left_out: str) -> None:
    data = Dataset.from_folder(tree(*names) / "p")

    assert [problem.path.name for problem in data.problems] == [left_out]
    assert not [s for s in data.train_normals() if left_out in s.path.parts]


def test_an_empty_product_folder_is_fatal(tree: Any) -> None:
    root = tree(*below("p/x", MVTEC))
    (root / "p/y/train/good").mkdir(parents=True)
    (root / "p/z").mkdir()

    data = Dataset.from_folder(root / "p")

    assert data.products == ("x",)
    assert {(p.path.name, p.severity) for p in data.problems} == {("y", "fatal"), ("z", "fatal")}


@pytest.mark.parametrize(
    ("names", "root", "words"),
    [
        (("p/a/b/c/d/0.png",), "p", ("1 folder (a/)", "MVTec AD", "MTD", "VisA", "good/ and bad/", "manifest")),
        (("p/bad/0.png",), "p", ("1 folder (bad/)",)),
        ((), "nothing here", ("There is no file or folder",)),
        (("p/x.png",), "p/x.png", ("neither a folder nor a manifest",)),
    ],
)
def test_an_unknown_layout_says_what_was_found(tree: Any, names: tuple[str, ...], root: str, words: Any) -> None:
    path: Path = tree(*names) if names else Path("/")

    with pytest.raises(DataError) as caught:
        Dataset.from_folder(path / root)

    for word in (str(path / root), *words):
        assert word in str(caught.value)
    assert caught.value.remedy


def test_a_known_layout_without_images_says_so(tmp_path: Path) -> None:
    (tmp_path / "train/good").mkdir(parents=True)

    with pytest.raises(DataError, match="looks like MVTec AD, but its folders hold no images"):
        Dataset.from_folder(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights on Windows")
def test_links_to_folders_that_are_read_anyway_are_left_out(tree: Any) -> None:
    root = tree(*below("p/screw", MVTEC)) / "p"
    (root / "again").symlink_to(root)
    (root / "zz").symlink_to(root / "screw")

    data = Dataset.from_folder(root)

    assert data.products == ("screw",)
    assert {problem.path.name for problem in data.problems} == {"again", "zz"}
