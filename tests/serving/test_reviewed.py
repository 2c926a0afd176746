"""Reviews as a data set."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.data.dataset import Dataset
from blemish.data.defects.read import read_defects
from blemish.serving.reviewed import Reviewed, held_out, reviewed_images, write_dataset
from blemish.serving.store import Store

from .conftest import Add

Run = Callable[..., Any]


def mask(*, empty: bool = False) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.eye(16, dtype=np.uint8) * (0 if empty else 255)).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_newest_review_of_an_image_counts(store: Store, add: Add) -> None:
    first, again, other = add(image=1), add(image=1, p_value=0.001), add(image=2, p_value=0.001)
    add(image=3)
    store.add_review(again, "confirmed", category="dent")
    store.add_review(other, "rejected")
    newest = store.add_review(first, "confirmed", category="scratch", mask=mask())
    found = reviewed_images(store)
    assert [(one.inspection, one.decision, one.category) for one in found] == [
        (first, "confirmed", "scratch"),
        (other, "rejected", None),
    ]
    assert found[0].mask == newest.mask
    assert (found[0].teachable, found[0].marked, found[1].teachable) == (True, True, False)
    store.undo(newest.id)
    empty = store.add_review(other, "confirmed", mask=mask(empty=True))
    assert not reviewed_images(store)[0].marked
    store.undo(empty.id)
    assert [one.category for one in reviewed_images(store)] == [None, "dent"]


def many(product: str, category: str | None, count: int) -> list[Reviewed]:
    decision = "rejected" if category is None else "confirmed"
    return [
        Reviewed("i", f"{product}{category}{number:03}", product, decision, category, "m", True)  # type: ignore[arg-type]
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 1 / 3, 0), (2, 1 / 3, 0), (3, 1 / 3, 1), (9, 1 / 3, 3), (10, 0.2, 2), (4, 0, 0)],
)
def test_few_examples_are_all_learned(count: int, share: float, expected: int) -> None:
    images = many("nut", "dent", count) + many("bolt", "dent", 1) + many("nut", None, 1)
    held = held_out(images, share)
    assert len(held) == expected
    assert held == held_out(images[::-1], share)


def test_reviews_become_a_data_set(store: Store, add: Add, tmp_path: Path) -> None:
    for number in range(3):
        store.add_review(add(p_value=0.001), "confirmed", category=f"dent {number % 2}")
    store.add_review(add(p_value=0.001), "confirmed")
    store.add_review(add(p_value=0.5), "confirmed", category="dent 0")  # missed, and nobody drew where it is
    store.add_review(add(p_value=0.001), "rejected")
    store.add_review(add(product="unknown product", p_value=1.0), "confirmed", category="dent 0")
    images = reviewed_images(store)
    folder = tmp_path / "reviewed"
    folder.mkdir()
    test = held_out([one for one in images if one.product], 1 / 3)
    assert len(test) == 1
    samples = write_dataset(store, images, test, folder)
    data = Dataset.from_folder(folder)
    assert set(data.samples) == set(samples)
    assert len(data) == 6
    assert sum(one.split == "test" for one in data) == 1
    assert [one.defect for one in data if one.mask is None and one.defective] == ["dent 0"]
    assert len(data.train_normals()) == 1
    defects = read_defects(folder)
    assert defects.categories == ("dent 0", "dent 1")
    assert {example.product for example in defects.examples} == {"nut"}


def test_the_command(run: Run, tmp_path: Path, add: Add, store: Store, url: str) -> None:
    address = ["--database", url]
    result = run("export-reviews", tmp_path, "-o", tmp_path / "out", *address)
    assert result.exit_code == 2
    assert "has been reviewed" in result.output.replace("\n", " ")
    store.add_review(add(p_value=0.001), "confirmed", category="dent", mask=mask())
    store.add_review(add(product="unknown product", p_value=1.0), "rejected")
    result = run("export-reviews", tmp_path, "-o", tmp_path / "out", *address)
    assert result.exit_code == 0, result.output
    assert "1 images of no known product were left out" in result.output.replace("\n", " ")
    (sample,) = Dataset.from_folder(tmp_path / "out")
    assert sample.mask is not None
    with Image.open(sample.mask) as written:
        assert (np.asarray(written) > 0).sum() == 16
    assert run("export-reviews", tmp_path, "-o", tmp_path / "out", *address).exit_code == 2
    assert run("export-reviews", tmp_path, "-o", tmp_path / "out", *address, "--overwrite").exit_code == 0
    assert run("export-reviews", tmp_path / "none", "-o", tmp_path / "x").exit_code == 2
