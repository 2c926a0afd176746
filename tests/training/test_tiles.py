"""Models that look at images in tiles: trained, taught, saved and exported like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.defects import DefectExample
from blemish.engines.torch_engine import TorchEngine
from blemish.inspection import Inspection
from blemish.inspector import Inspector
from blemish.training.images import TrainingSet, suitable_tiles
from blemish.training.teach import teach
from blemish.training.train import train

from .conftest import TINY, draw_defect, tiny_teaching


@pytest.fixture(scope="module")
def tiled(tiny_dataset: Dataset) -> Inspector:
    return train(tiny_dataset, TrainConfig.of("fast", **{**TINY, "model": {**TINY["model"], "tiles": 2}}))


def test_every_tile_trains(tiled: Inspector, tiny_dataset: Dataset) -> None:
    assert tiled.size == tiled.tiling.side == 112
    training = TrainingSet.of(tiny_dataset, 0.4, 3)
    for product, kept in tiled.kept.items():
        images = [training.train[row] for row in training.indices(product)]
        assert kept.train.shape[1:] == kept.held.shape[1:] == (112, 112, 3)
        assert len(kept.parts) == len(images)
        for row, pixels in zip(kept.rows, kept.train, strict=True):
            np.testing.assert_array_equal(pixels, images[row].load(112, None, 3))
    assert isinstance(tiled.engine, TorchEngine)
    bank = tiled.engine.network.bank
    assert bank is not None
    kept = tiled.kept["spots"]
    own = kept.own_patches(1, 300, 4)  # patch p is of tile p mod 4n; 4 to 7 are of the second image
    assert set(np.flatnonzero(own) % (4 * len(kept.parts))) == {4, 5, 6, 7}


def test_a_model_with_tiles_is_saved_with_them(tiled: Inspector, tiny_dataset: Dataset, tmp_path: Path) -> None:
    folder = tiled.save(tmp_path / "tiled.blemish")
    loaded = Inspector.load(folder)
    assert loaded.tiling == tiled.tiling
    assert "2 × 2 overlapping tiles" in (folder / "README.md").read_text(encoding="utf-8")
    path = tiny_dataset.samples[0].path
    one, other = tiled.inspect(path), loaded.inspect(path)
    assert one.score == pytest.approx(other.score)
    assert one.anomaly_map.shape == (112, 112)


def test_names_are_learned_from_tiles(
    tiled: Inspector, tiny_folder: Path, tiny_examples: tuple[DefectExample, ...]
) -> None:
    taught, problems = teach(tiled, tiny_examples, tiny_teaching(steps=60))
    assert problems == ()
    assert taught.examples["spots"].images.shape[1:] == (112, 112, 3)
    image, _ = draw_defect(
        tiny_folder.parent / "drawn for tiles", tiny_folder / "spots" / "train" / "good" / "05.png", "stain"
    )
    found = taught.inspect(image)
    assert isinstance(found, Inspection)
    assert found.category_map is not None
    assert found.category_map.shape == (112, 112)
    assert found.categories == ("cut", "stain")
    assert found.category == "stain"


@pytest.mark.parametrize(("side", "count"), [(64, 1), (85, 1), (100, 2), (256, 5), (2000, 8)])
def test_as_many_tiles_as_images_are_large(tmp_path: Path, side: int, count: int) -> None:
    from PIL import Image

    folder = tmp_path / "nut" / "train" / "good"
    folder.mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (side, side)).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no image")
    assert suitable_tiles(Dataset.from_folder(tmp_path), 64) == count
