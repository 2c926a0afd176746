"""Products with few images learn from altered copies; some of all images stay with the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.data.dataset import Dataset
from blemish.data.sample import Sample
from blemish.tiling import Tiling
from blemish.training.images import FEW, TrainingImage, TrainingSet, without_unreadable
from blemish.training.kept import keep_images

COPIES = 24


def data(groups: list[str | None], product: str = "nut", folder: Path = Path("/d")) -> Dataset:
    samples = (
        Sample(folder / product / f"{number:03}.png", product, "train", "normal", group=group)
        for number, group in enumerate(groups)
    )
    return Dataset(tuple(samples))


@pytest.mark.parametrize(
    ("groups", "originals"),
    [
        ([None], 1),
        ([None] * 2, 2),
        ([None] * (FEW - 1), FEW - 1),
        (["a", "a", "b"], 3),
        (["a"] * 5, 5),
        (["a"] * 12, 12),
        (["a"] * 24, 24),
        (["a"] * 25, 25),
        (["a"] * 30, 30),
        (["a"] * 47, 47),
        (["a"] * 100, 100),
    ],
)
def test_few_images_train_and_calibrate_with_copies(groups: list[str | None], originals: int) -> None:
    training = TrainingSet.of(data(groups), 0.3, seed=1)
    own = [image for image in training.train if not image.copy]
    assert {image.path for image in own} == {sample.path for sample in data(groups)}
    assert len(own) == originals
    assert len(training.train) == max(COPIES, originals)
    assert len(training.held) == COPIES
    assert all(image.copy for image in training.held)
    copies = [(image.path, image.copy) for image in (*training.train, *training.held) if image.copy]
    assert len(set(copies)) == len(copies)  # no copy on both sides
    assert training.originals("nut") == min(originals, COPIES)
    assert len({image.group for image in training.held}) == COPIES
    if len(training.train) > 1:  # none is compared with itself alone
        assert len({image.group for image in training.train}) > 1 or originals >= COPIES


@pytest.mark.parametrize(
    ("groups", "compared"),
    [([None], False), ([None] * 2, True), ([None] * 15, True), (["a"] * 5, False), (["a"] * 3 + ["b"] * 2, True)],
)
def test_where_patches_can_be_left_out_few_images_calibrate_themselves(
    groups: list[str | None], compared: bool
) -> None:
    training = TrainingSet.of(data(groups), 0.3, seed=1, composed=True)
    alike = TrainingSet.of(data(groups), 0.3, seed=1)
    assert training.train == alike.train
    assert training.compared("nut") == compared
    assert not alike.compared("nut")
    if not compared:
        assert training.held == alike.held
        return
    assert training.held == tuple(image for image in training.train if not image.copy)
    assert training.originals("nut") is None
    for image in training.held:
        own = training.own_patches(image, 100)
        assert len(own) == 100
        for patch, left_out in enumerate(own):  # they go round the training images
            assert left_out == (training.train[patch % len(training.train)].group == image.group)
        assert own.any()
        assert not own.all()


def test_patches_of_a_prompt_know_their_tiles() -> None:
    """Each training image stands for its tiles, once they are cut."""
    training = TrainingSet.of(data([None] * 3), 0.3, seed=1, composed=True)
    tiled = replace(training, train=tuple(image for image in training.train for _ in range(4)))
    own = tiled.own_patches(training.held[0], 200)
    assert {patch % 96 // 4 for patch in np.flatnonzero(own)} == {
        row for row, image in enumerate(training.train) if image.group == training.held[0].group
    }
    assert not tiled.own_patches(training.held[0], 0).any()


def test_only_few_images_are_read_beforehand(tmp_path: Path) -> None:
    few, many, none = (data([None] * count, name, tmp_path) for count, name in ((3, "few"), (FEW, "many"), (2, "none")))
    dataset = Dataset((*few, *many, *none))
    for sample in dataset:
        sample.path.parent.mkdir(exist_ok=True)
        sample.path.write_bytes(b"no image")
    for sample in few.samples[:2]:
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(sample.path)
    rest, failures = without_unreadable(dataset)
    assert [failure.source for failure in failures] == [str(few.samples[2].path)]
    assert set(dataset) - set(rest) == {few.samples[2]}


@pytest.mark.parametrize("groups", [[None] * FEW, ["a"] * 8 + ["b"] * 8, [None] * 40])
def test_enough_images_are_divided(groups: list[str | None]) -> None:
    training = TrainingSet.of(data(groups), 0.3, seed=1)
    assert not any(image.copy for image in (*training.train, *training.held))
    assert len(training.train) + len(training.held) == len(groups)
    assert training.train
    assert training.held
    assert training.originals("nut") is None


def test_one_products_lack_is_not_anothers() -> None:
    both = Dataset((*data([None] * 20), *data([None], "bolt")))
    training = TrainingSet.of(both, 0.3, seed=1)
    assert {image.product for image in training.train if image.copy} == {"bolt"}
    assert training.originals("bolt") == 1
    assert training.originals("nut") is None


def test_a_copy_depends_on_seed_name_and_number(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    image = TrainingImage(path, "nut", "x")
    np.testing.assert_array_equal(image.load(64, None, 1), np.repeat(pixels[..., None], 3, axis=2))
    copies = [TrainingImage(path, "nut", "x", number).load(64, None, seed) for number, seed in ((1, 1), (2, 1), (1, 2))]
    assert len({copy.tobytes() for copy in copies}) == 3
    np.testing.assert_array_equal(copies[0], TrainingImage(path, "nut", "y", 1).load(64, None, 1))
    assert all((copy == copy[..., :1]).all() for copy in copies)  # grey stays grey


def training_of(tmp_path: Path, groups: list[str | None], *, composed: bool = False) -> tuple[TrainingSet, np.ndarray]:
    (tmp_path / "nut").mkdir()
    dataset = data(groups, folder=tmp_path)
    for number, sample in enumerate(dataset):
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(sample.path)
    training = TrainingSet.of(dataset, 0.3, seed=1, composed=composed)
    return training, np.stack([image.load(16, None, 1) for image in training.train])


@pytest.mark.parametrize("count", [1, 5, 48])
def test_kept_images_are_those_of_their_rows(tmp_path: Path, count: int) -> None:
    training, pixels = training_of(tmp_path, [f"tile {number // 2}" for number in range(30)])
    kept = keep_images(training, pixels, Tiling(pixels.shape[1]), {"nut": None}, count, 0)["nut"]
    assert len(kept.train) == len(kept.rows) == min(count, len(training.train))
    assert len(kept.held) == len(kept.groups) == min(count, len(training.held))
    assert list(kept.rows) == sorted(set(kept.rows))
    for row, image in zip(kept.rows, kept.train, strict=True):
        np.testing.assert_array_equal(image, pixels[row])
    shown = [image.group for image in training.train]
    assert len(kept.parts) == len(shown)
    assert [shown.index(group) for group in shown] == [kept.parts.index(part) for part in kept.parts]
    assert set(kept.groups) <= {image.group for image in training.held}
    for group, image in zip(kept.groups, kept.held, strict=True):
        assert f"tile {image[0, 0, 0] // 2}" == group


def test_kept_images_are_of_as_many_parts_as_there_are(tmp_path: Path) -> None:
    training, pixels = training_of(tmp_path, ["large"] * 20 + [f"tile {number}" for number in range(10)])
    parts = {image.group for image in training.train}
    kept = keep_images(training, pixels, Tiling(pixels.shape[1]), {"nut": None}, len(parts), 0)["nut"]
    assert len({kept.parts[row] for row in kept.rows}) == len(parts)


def test_none_are_kept_where_none_are_wanted(tmp_path: Path) -> None:
    training, pixels = training_of(tmp_path, [None] * 10)
    assert keep_images(training, pixels, Tiling(pixels.shape[1]), {"nut": None}, 0, 0) == {}


def test_copies_that_calibrate_are_kept_as_they_were(tmp_path: Path) -> None:
    training, pixels = training_of(tmp_path, [None] * 2)
    kept = keep_images(training, pixels, Tiling(pixels.shape[1]), {"nut": None}, 48, 1)["nut"]
    for image, pixel in zip(training.held, kept.held, strict=True):
        np.testing.assert_array_equal(image.load(16, None, 1), pixel)
    assert not kept.compared
    assert kept.held_patches(100) == []


@pytest.mark.parametrize("tiles", [1, 2])
@pytest.mark.parametrize("count", [3, 48])
def test_kept_images_know_their_patches(tmp_path: Path, count: int, tiles: int) -> None:
    """As the training images do, whichever are kept."""
    training, pixels = training_of(tmp_path, ["a", "a", "b", None, "c"], composed=True)
    tiling = Tiling(16, tiles)
    cut = replace(training, train=tuple(image for image in training.train for _ in range(tiling.tiles)))
    whole = np.repeat(pixels, tiling.tiles, axis=0)
    kept = keep_images(cut, whole, tiling, {"nut": None}, count, 0)["nut"]
    assert kept.compared
    held = {image.group: cut.own_patches(image, 300) for image in training.held}
    assert len(kept.held) == min(count, 5)
    for group, own in zip(kept.groups, kept.held_patches(300, tiling.tiles), strict=True):
        np.testing.assert_array_equal(own, held[group])
