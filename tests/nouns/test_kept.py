"""Images that stay with a model: they come back as they were, and a damaged folder is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish.errors import ModelError
from blemish.kept.examples import ExamplesFolder, KeptExamples, write_examples
from blemish.kept.images import KeptFolder, KeptImages, write_kept

pytestmark = pytest.mark.core

PRODUCTS = ("bolt", "nut", "nüt/№ 3")


def pixels(count: int, seed: int = 0, *, grey: bool = False) -> NDArray[np.uint8]:
    values = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    return np.repeat(values[..., :1], 3, axis=3) if grey else values


def normals(*, grey: bool = False, held: int = 2) -> KeptImages:
    return KeptImages(
        pixels(3, grey=grey), (0, 2, 5), (0, 0, 1, 1, 2, 3), pixels(held, 1), ("a", "ö b")[:held], (-1, 2)[:held]
    )


def examples() -> KeptExamples:
    labels = np.full((2, 32, 32), -1, np.int16)
    labels[0, 3:9, 4:8], labels[1, 20:, 20:], labels[1, 0, 0] = 0, 7, 254
    return KeptExamples(pixels(2, 3), labels, ("/d/one.png", "naïve name.png"), (False, True))


@pytest.fixture
def normal_folder(tmp_path: Path) -> Path:
    write_kept(tmp_path, PRODUCTS, {"bolt": normals(), "nüt/№ 3": normals(grey=True, held=0)})
    return tmp_path


@pytest.fixture
def example_folder(tmp_path: Path) -> Path:
    write_examples(tmp_path, PRODUCTS, {"nut": examples()})
    return tmp_path


def test_normal_images_come_back(normal_folder: Path) -> None:
    found = KeptFolder(normal_folder, PRODUCTS)
    assert list(found) == ["bolt", "nüt/№ 3"]
    assert len(found) == 2
    for name, expected in (("bolt", normals()), ("nüt/№ 3", normals(grey=True, held=0))):
        one = found[name]
        np.testing.assert_array_equal(one.train, expected.train)
        assert (one.rows, one.parts, one.groups) == (expected.rows, expected.parts, expected.groups)
        assert one.shown == expected.shown
        assert len(one.held) == len(expected.held)
    np.testing.assert_array_equal(found["bolt"].held, normals().held)
    with pytest.raises(KeyError):
        found["nut"]


def test_grey_images_take_a_third(normal_folder: Path) -> None:
    with (
        Image.open(normal_folder / "normals/2/train-0.png") as grey,
        Image.open(normal_folder / "normals/0/train-0.png") as coloured,
    ):
        assert (grey.mode, coloured.mode) == ("L", "RGB")


def test_examples_come_back(example_folder: Path) -> None:
    found = ExamplesFolder(example_folder, PRODUCTS)
    assert list(found) == ["nut"]
    one, expected = found["nut"], examples()
    np.testing.assert_array_equal(one.images, expected.images)
    np.testing.assert_array_equal(one.labels, expected.labels)
    assert one.labels.dtype == np.int16
    assert (one.sources, one.guessed) == (expected.sources, expected.guessed)


def test_what_was_read_can_be_written_again(normal_folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_kept(again, PRODUCTS, KeptFolder(normal_folder, PRODUCTS))
    files = sorted(path.relative_to(normal_folder) for path in (normal_folder / "normals").rglob("*.*"))
    assert files
    assert all((again / file).read_bytes() == (normal_folder / file).read_bytes() for file in files)


def test_a_folder_without_any(tmp_path: Path) -> None:
    assert dict(KeptFolder(tmp_path, PRODUCTS)) == {}
    assert dict(ExamplesFolder(tmp_path, PRODUCTS)) == {}


def test_patches_of_the_same_part() -> None:
    own = normals().own_patches(1, 9)  # patch p is of image p mod 6, whose parts are 0 0 1 1 2 3
    assert np.flatnonzero(own).tolist() == [0, 1, 6, 7]


def _text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def _small(path: Path) -> None:
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(path)


def _table(**values: object) -> Callable[[Path], object]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("train-1.png", Path.unlink),
        ("train-1.png", _cut),
        ("train-1.png", _text("hello")),
        ("train-1.png", _text("")),
        ("train-1.png", _small),
        ("held-0.png", Path.unlink),
        ("held-0.png", _small),
        ("normals.json", _text("{")),
        ("normals.json", _text("[]")),
        ("normals.json", _text("{}")),
        ("normals.json", _text('{"rows": 3, "parts": [], "groups": []}')),
        ("normals.json", lambda path: path.write_bytes(b"\xff\xfe\x00")),
        ("normals.json", _table(rows=[0, 2, 6])),
        ("normals.json", _table(rows=[0, 2, -1])),
        ("normals.json", _table(rows=["a", "b", "c"])),
        ("normals.json", _table(groups=["a", "b", "c"])),
    ],
)
def test_damaged_normal_images(normal_folder: Path, name: str, change: Callable[[Path], object]) -> None:
    change(normal_folder / "normals" / "0" / name)
    found = KeptFolder(normal_folder, PRODUCTS)
    with pytest.raises(ModelError, match="is damaged") as caught:
        found["bolt"]
    assert str(normal_folder / "normals" / "0") in caught.value.message
    assert caught.value.remedy
    assert len(found["nüt/№ 3"].train) == 3  # the others can still be read


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("0.png", Path.unlink),
        ("0.png", _cut),
        ("0.png", _small),
        ("1-labels.png", Path.unlink),
        ("1-labels.png", _text("hello")),
        ("1-labels.png", _small),
        ("examples.json", _text("{")),
        ("examples.json", _text("3")),
        ("examples.json", _text('{"source": "x"}')),
        ("examples.json", _text('[{"source": "x"}]')),
        ("examples.json", _text("[1, 2]")),
        ("examples.json", _text('[{"source": "x", "guessed": false}, {}]')),
    ],
)
def test_damaged_examples(example_folder: Path, name: str, change: Callable[[Path], object]) -> None:
    change(example_folder / "examples" / "1" / name)
    with pytest.raises(ModelError, match="is damaged") as caught:
        ExamplesFolder(example_folder, PRODUCTS)["nut"]
    assert str(example_folder / "examples" / "1") in caught.value.message
    assert caught.value.remedy


def test_all_examples_of_another_size_than_their_labels(example_folder: Path) -> None:
    for number in range(2):
        _small(example_folder / "examples" / "1" / f"{number}-labels.png")
    with pytest.raises(ModelError, match="is damaged"):
        ExamplesFolder(example_folder, PRODUCTS)["nut"]


def test_a_product_whose_table_is_gone_has_none(example_folder: Path) -> None:
    shutil.rmtree(example_folder / "examples" / "1")
    assert "nut" not in ExamplesFolder(example_folder, PRODUCTS)
