"""The folder of synthetic defects: read back, resumed, never half an item."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from blemish.data import Dataset
from blemish.data.decode import read_image
from blemish.data.masks import read_mask
from blemish.errors import BlemishError, DataError
from blemish.synthesis.folder import MANIFEST, SETTINGS, SyntheticFolder, file_name
from blemish.synthesis.synthetic import Provenance, Synthetic

pytestmark = pytest.mark.core
SIZE = 24
SETUP = {"mode": "painter", "seed": 3, "size": SIZE}


def item(product: str = "bolt", category: str = "crack", level: int = 90) -> Synthetic:
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    mask[4:9, 5:7] = True
    origin = Provenance(
        "painter", 3, "good/1.png", prompt='a "bolt",\nwith a crack', method="dark-stroke", shape="line"
    )
    return Synthetic(np.full((SIZE, SIZE, 3), level, np.uint8), mask, product, category, origin)


def test_it_is_a_data_set_with_provenance(tmp_path: Path) -> None:
    folder = SyntheticFolder(tmp_path / "out", SETUP)
    one = item()
    path = folder.add(one, 0)
    folder.add(item(product="a/b: ü", category="..", level=91), 7)

    dataset = Dataset.from_folder(tmp_path / "out")

    assert dataset.problems == ()
    assert [(s.product, s.defect, s.split, s.label) for s in dataset] == [
        ("a/b: ü", "..", "train", "defective"),
        ("bolt", "crack", "train", "defective"),
    ]
    sample = dataset.samples[1]
    assert (sample.path, sample.path.suffix) == (path, ".png")
    assert (read_image(sample.path) == one.image).all()
    assert sample.mask is not None
    assert sample.mask.suffix == ".png"
    assert (read_mask(sample.mask) == one.mask).all()
    row = json.loads((tmp_path / "out" / MANIFEST).read_text().splitlines()[0])
    told = {name: row[name] for name in ("mode", "method", "shape", "prompt", "source", "example", "seed", "score")}
    assert told == {
        "mode": "painter",
        "method": "dark-stroke",
        "shape": "line",
        "prompt": 'a "bolt",\nwith a crack',
        "source": "good/1.png",
        "example": None,
        "seed": 3,
        "score": None,
    }
    assert all(path.resolve().is_relative_to(tmp_path / "out") for path in (s.path for s in dataset))


def test_it_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    folder = SyntheticFolder(tmp_path, SETUP)
    for number in range(3):
        folder.add(item(), number)
    (tmp_path / "images" / "bolt" / "crack" / "0001.png").unlink()
    with open(tmp_path / MANIFEST, "ab") as file:
        file.write(b'{"path": "images/bolt/crack/00')  # the power went off

    again = SyntheticFolder(tmp_path, SETUP, resume=True)

    assert [("bolt", "crack", number) in again for number in range(4)] == [True, False, True, False]
    again.add(item(), 1)
    again.add(item(), 3)
    assert len(again) == 4
    assert len(Dataset.from_folder(tmp_path)) == 4
    assert len(SyntheticFolder(tmp_path, SETUP, resume=True)) == 4


def test_adding_a_number_again_replaces_its_image(tmp_path: Path) -> None:
    folder = SyntheticFolder(tmp_path, SETUP)
    folder.add(item(level=10), 0)
    path = folder.add(item(level=200), 0)
    assert read_image(path).max() == 200
    assert len(Dataset.from_folder(tmp_path)) == 1


def test_what_is_there_is_not_lost_by_mistake(tmp_path: Path) -> None:
    SyntheticFolder(tmp_path / "a", SETUP).add(item(), 0)
    with pytest.raises(BlemishError, match="exists already"):
        SyntheticFolder(tmp_path / "a", SETUP)
    with pytest.raises(DataError, match="other settings: seed, size"):
        SyntheticFolder(tmp_path / "a", {**SETUP, "seed": 4, "size": 9}, resume=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("dear")
    for options in ({"overwrite": True}, {"resume": True}, {"resume": True, "overwrite": True}):
        with pytest.raises(BlemishError, match=r"exists"):
            SyntheticFolder(tmp_path / "photos", SETUP, **options)
    assert (tmp_path / "photos" / "holiday.jpg").read_text() == "dear"

    anew = SyntheticFolder(tmp_path / "a", {**SETUP, "seed": 4}, overwrite=True)

    assert len(anew) == 0
    assert [path.name for path in (tmp_path / "a").iterdir()] == [SETTINGS]


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"'])
def test_settings_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / SETTINGS).write_text(content)
    with pytest.raises(DataError, match=r"synthesis\.json|other settings"):
        SyntheticFolder(tmp_path, SETUP, resume=True)


def test_names_of_folders_are_safe_and_distinct() -> None:
    names = ["crack", "crack ", "a/b", "a\\b", "a b", "..", ".hidden", "", "ü", "x" * 300, "x" * 301, "con", "\udcff"]
    made = [file_name(name) for name in names]
    assert made[0] == "crack"
    assert len(set(made)) == len(names)
    for name in made:
        assert name
        assert name.isascii()
        assert not set(name) & set("/\\: ")
        assert not name.startswith(".")
        assert len(name) < 80
