"""An image whose part is among the prompts is inspected as if it were not; few images set their thresholds so."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.defects import DefectExample
from blemish.engines.torch_engine import TorchEngine
from blemish.inspector import Inspector, RawMaps
from blemish.model_folder import CALIBRATION
from blemish.scoring import image_score
from blemish.training.add_product import add_products
from blemish.training.calibrate import calibrate
from blemish.training.images import TrainingSet
from blemish.training.left_out import calibrate_kept, maps_without
from blemish.training.teach import teach, without_categories
from blemish.training.train import train

from .conftest import TINY, tiny_teaching

FEW = 4


@pytest.fixture(scope="module", params=[1, 2], ids=["whole", "tiles"])
def few(request: pytest.FixtureRequest, tiny_dataset: Dataset) -> tuple[Inspector, TrainingSet]:
    """A model of stripes, to which spots were added from few images."""
    config = TrainConfig.of("fast", **{**TINY, "model": {**TINY["model"], "tiles": request.param}})
    stripes, spots = (replace(tiny_dataset, samples=tiny_dataset.train_normals(name)) for name in ("stripes", "spots"))
    spots = replace(spots, samples=spots.samples[:FEW])
    grown, _, _ = add_products(train(stripes, config), spots)
    return grown, TrainingSet.of(spots, config.hold_out, config.seed, composed=True)


def maps(inspector: Inspector, image: Path, own: np.ndarray | None) -> RawMaps:
    (raw,) = maps_without(inspector, [image], "spots", [] if own is None else [own])
    assert isinstance(raw, RawMaps)
    return raw


def test_what_is_left_out_is_as_if_it_were_not_there(few: tuple[Inspector, TrainingSet]) -> None:
    """The same maps come from a bank whose patches of that part were replaced by a patch of another part."""
    inspector, training = few
    image = training.held[0]
    tiled = replace(training, train=tuple(one for one in training.train for _ in range(inspector.tiling.tiles)))
    own = tiled.own_patches(image, inspector.config.model.prompt_patches)
    assert isinstance(inspector.engine, TorchEngine)
    network = deepcopy(inspector.engine.network)
    assert network.bank is not None
    cells = network.bank.get_buffer("cells")[inspector.index("spots")]
    cells[own] = cells[int(np.flatnonzero(~own)[0])].clone()
    poorer = replace(inspector, engine=TorchEngine(network, "cpu"))
    found, expected, itself = (
        maps(inspector, image.path, own),
        maps(poorer, image.path, None),
        maps(inspector, image.path, None),
    )
    np.testing.assert_allclose(found.reconstruction, expected.reconstruction, rtol=1e-4, atol=1e-5)
    assert found.refiner is not None
    assert expected.refiner is not None
    np.testing.assert_allclose(found.refiner, expected.refiner, rtol=1e-4, atol=1e-5)
    assert itself.reconstruction.mean() < found.reconstruction.mean()


def test_few_images_set_thresholds_without_finding_themselves(few: tuple[Inspector, TrainingSet]) -> None:
    inspector, training = few
    one, other = inspector.calibration["spots"], inspector.calibration["stripes"]
    assert (one.n, one.copied, one.compared) == (FEW, None, True)
    assert (other.copied, other.compared, other.n) == (None, True, 16)  # too few were held out to promise 1 %
    assert one.fresh == ()
    assert other.expected_rate == pytest.approx(1 / (len(other.fresh) + 1))
    assert f"of which {len(other.fresh)} did not train" in other.statement()
    scores = []
    for image in training.held[:FEW]:
        own = np.array([training.train[row].group == image.group for row in training.indices("spots")])
        own = np.repeat(own, inspector.tiling.tiles)
        own = own[np.arange(inspector.config.model.prompt_patches) % len(own)]
        scores.append(image_score(inspector.fused(maps(inspector, image.path, own))))
        assert image_score(inspector.fused(maps(inspector, image.path, None))) < scores[-1]
    assert one.scores == pytest.approx(sorted(scores), rel=1e-4)
    assert one.threshold == pytest.approx(max(scores), rel=1e-4)
    assert "about 20 % to be expected, none promised: 4 normal images" in one.statement()


def test_they_stay_with_the_model_and_do_so_again(few: tuple[Inspector, TrainingSet], tmp_path: Path) -> None:
    inspector, _ = few
    inspector.save(tmp_path / "few.blemish")
    loaded = Inspector.load(tmp_path / "few.blemish", offline=True)
    assert (tmp_path / "few.blemish" / CALIBRATION).read_text(encoding="utf-8").count('"compared": true') == 2
    assert loaded.calibration == inspector.calibration
    for model in (inspector, loaded):
        for product in ("spots", "stripes"):
            again, before = calibrate_kept(model, product).calibration[product], inspector.calibration[product]
            assert again.scores == pytest.approx(before.scores, rel=1e-4)
            assert again.fresh == pytest.approx(before.fresh, rel=1e-4)
            assert again.compared


def test_categories_come_and_go(few: tuple[Inspector, TrainingSet], tiny_examples: tuple[DefectExample, ...]) -> None:
    inspector, _ = few
    one = inspector.calibration["spots"]
    taught, _ = teach(inspector, [example for example in tiny_examples if example.product == "spots"], tiny_teaching())
    found = taught.calibration["spots"]
    assert (found.n, found.compared) == (FEW, True)
    assert found.fusion.detection == pytest.approx(0.5 ** (1 / one.fusion.exponent))
    bare = without_categories(taught).calibration["spots"]
    assert (bare.n, bare.compared, bare.floor, bare.fusion) == (FEW, True, None, one.fusion)
    assert bare.scores == pytest.approx(one.scores, rel=1e-4)


def test_images_of_a_later_calibration_take_their_place(
    few: tuple[Inspector, TrainingSet],
    tiny_folder: Path,
    tiny_examples: tuple[DefectExample, ...],
    tmp_path: Path,
) -> None:
    """Categories that are learned afterwards do not bring the former thresholds back."""
    inspector, _ = few
    fresh = sorted((tiny_folder / "spots" / "train" / "good").iterdir())[FEW:]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    calibrated, failures = calibrate(inspector, [broken, *fresh], product="spots")
    assert len(failures) == 1
    one = calibrated.calibration["spots"]
    assert (one.n, one.copied, one.compared) == (len(fresh), None, False)
    calibrated.save(tmp_path / "calibrated.blemish")
    loaded = Inspector.load(tmp_path / "calibrated.blemish", offline=True)
    assert (len(loaded.kept["spots"].held), loaded.kept["spots"].compared) == (len(fresh), False)
    assert len(loaded.kept["stripes"].held) == len(inspector.kept["stripes"].held)
    examples = [example for example in tiny_examples if example.product == "spots"]
    taught, _ = teach(loaded, examples, tiny_teaching())
    assert (taught.calibration["spots"].n, taught.calibration["spots"].compared) == (len(fresh), False)
    assert without_categories(taught).calibration["spots"].scores == pytest.approx(one.scores, rel=1e-4)
