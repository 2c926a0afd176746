"""The first calibration: each held-out image is looked at once, as long as what is said of it fits into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from blemish.calibration import threshold_rank
from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.decode import load_square
from blemish.inspection import Failure
from blemish.inspector import Inspector, RawMaps
from blemish.scoring import fuse, image_score
from blemish.training import fit
from blemish.training.fit import fit_products, standing_for
from blemish.training.images import TrainingImage, TrainingSet
from blemish.training.left_out import calibrate_kept
from blemish.training.loop import TrainProgress
from blemish.training.runtime import silent
from blemish.training.train import train

from .conftest import TINY

IMAGES, HELD = 16, 6  # of each of the two products
MAP_BYTES = 2 * 4 * 64 * 64


@pytest.mark.parametrize(
    ("kept", "looks"),
    [(1000, IMAGES), (4, HELD + 2 * (IMAGES - 4)), (0, HELD + 2 * IMAGES)],  # for the level, the comparison, the scores
)
def test_maps_are_kept_while_they_fit(
    tiny_model: Inspector, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, kept: int, looks: int
) -> None:
    training = TrainingSet.of(tiny_dataset, TINY["hold_out"], TINY["seed"])
    inspected: list[Any] = []
    raw_maps = Inspector.raw_maps

    def counted(self: Inspector, images: Iterable[Any], **options: Any) -> Iterator[RawMaps | Failure]:
        chosen = list(images)
        inspected.extend(chosen)
        return raw_maps(self, chosen, **options)

    monkeypatch.setattr(Inspector, "raw_maps", counted)
    monkeypatch.setattr(fit, "_KEPT_BYTES", kept * MAP_BYTES)
    assert fit_products(tiny_model, training, silent, learned=True)[0].calibration == tiny_model.calibration
    assert len(inspected) == 2 * looks


@pytest.mark.parametrize("exponent", [1, 0.5])
def test_the_share_is_that_of_the_mean(tiny_model: Inspector, tiny_dataset: Dataset, exponent: float) -> None:
    """With the reconstruction map at its level on normal images the fused map is the mean of the two."""
    config = tiny_model.config.model_copy(update={"refiner_share": 0.3, "fusion_exponent": exponent})
    training = TrainingSet.of(tiny_dataset, TINY["hold_out"], TINY["seed"])
    fitted, _ = fit_products(replace(tiny_model, config=config), training, silent, learned=True)
    preset = tiny_model.config
    alone = (1 - preset.refiner_share) ** (1 / preset.fusion_exponent)
    level = alone / tiny_model.calibration["spots"].fusion.reconstruction
    fusion = fitted.calibration["spots"].fusion
    found = fuse(np.full((2, 2), level, np.float32), np.full((2, 2), 0.5, np.float32), fusion)
    expected = (0.7 * 1 + 0.3 * float(np.log(2)) ** exponent) ** (1 / exponent)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(("rate", "count"), [(0.2, HELD), (0.1, IMAGES)])
def test_training_images_calibrate_where_those_held_out_promise_too_little(
    tiny_model: Inspector, tiny_dataset: Dataset, rate: float, count: int
) -> None:
    training = TrainingSet.of(tiny_dataset, TINY["hold_out"], TINY["seed"])
    asked = replace(tiny_model, calibration=tiny_model.calibration.with_rate(rate))
    fitted, staying = fit_products(asked, training, silent, learned=True)
    assert len(staying.held) == 2 * count
    one = fitted.calibration["spots"]
    assert (one.n, one.compared) == (count, count == IMAGES)
    assert (one.promised_rate is None) == one.compared
    assert len(one.fresh) == (HELD if one.compared else 0)
    added = fit_products(asked, training, silent, learned=False)[0].calibration["spots"]
    assert (added.scores, added.fresh) == (one.scores, ())  # no network learned from images of a product that is added
    for raw in whole(fitted, training.held):
        assert min(abs(image_score(fitted.fused(raw)) / score - 1) for score in one.scores) < 1e-4
    expected = tiny_model.calibration["spots"].fusion.reconstruction  # the level is that of held-out images alone
    assert one.fusion.reconstruction == pytest.approx(expected, rel=1e-4)


def test_strange_held_out_images_set_the_thresholds_alone(
    tiny_model: Inspector, tiny_dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = TrainingSet.of(tiny_dataset, TINY["hold_out"], TINY["seed"])
    held = []
    for image in training.held:
        pixels = load_square(image.path, 64).copy()
        pixels[20:40, 20:40] = 255 - pixels[20:40, 20:40]
        held.append(replace(image, path=tmp_path / f"{image.product}-{image.path.name}"))
        Image.fromarray(pixels).save(held[-1].path)
    found = fit_products(tiny_model, replace(training, held=tuple(held)), silent, learned=True)[0].calibration
    assert [(one.n, one.compared) for one in found.products.values()] == [(HELD, False)] * 2
    assert caplog.text.count("held-out images score higher") == 2


def test_a_single_part_that_trains_is_not_compared(tiny_model: Inspector, tiny_dataset: Dataset) -> None:
    training = TrainingSet.of(tiny_dataset, TINY["hold_out"], TINY["seed"])
    shots = tuple(replace(image, group="the same") for image in training.train)
    found = fit_products(tiny_model, replace(training, train=shots), silent, learned=True)[0].calibration
    assert [(one.n, one.compared) for one in found.products.values()] == [(HELD, False)] * 2


def test_every_image_that_calibrates_is_reported_once(tiny_model: Inspector, tiny_dataset: Dataset) -> None:
    reports: list[TrainProgress] = []
    fit_products(tiny_model, TrainingSet.of(tiny_dataset, TINY["hold_out"], TINY["seed"]), reports.append, learned=True)
    assert [(one.stage, one.done, one.total) for one in reports] == [
        ("calibration", done, 2 * IMAGES) for done in range(1, 2 * IMAGES + 1)
    ]


@given(st.integers(2, 400), st.integers(1, 60), st.sampled_from([0.001, 0.01, 0.05, 0.3, 0.9]), st.randoms())
def test_stand_ins_set_the_same_threshold(parts: int, count: int, rate: float, random: Random) -> None:
    """Each part has two images, of which the higher score is that of the part."""
    images = [TrainingImage(Path(f"{number}"), "nut", f"{number // 2}") for number in range(2 * parts)]
    scores = [random.random() for _ in images]
    chosen = standing_for(images, scores, rate, count)
    assert len(set(chosen)) == len(chosen)
    if 2 * parts <= count:
        assert chosen == images
        return
    highest = sorted((max(scores[2 * part : 2 * part + 2]) for part in range(parts)), reverse=True)
    found = sorted((scores[images.index(image)] for image in chosen), reverse=True)
    assert len(found) == min(count, parts)
    assert found[threshold_rank(rate, len(found)) - 1] == highest[threshold_rank(rate, parts) - 1]
    assert set(found) <= set(highest)


def test_few_of_many_stay_with_the_model(tiny_dataset: Dataset) -> None:
    model = train(tiny_dataset, TrainConfig.of("fast", **{**TINY, "kept": 5}))
    one, kept = model.calibration["spots"], model.kept["spots"]
    assert (one.n, len(kept.held), len(kept.train)) == (IMAGES, 5, 5)
    again = calibrate_kept(model, "spots").calibration["spots"]
    assert (again.n, again.compared) == (5, True)
    assert again.threshold == pytest.approx(one.threshold, rel=1e-4)
    assert set(np.round(again.scores, 3)) <= set(np.round(one.scores, 3))


def whole(inspector: Inspector, images: Iterable[TrainingImage]) -> list[RawMaps]:
    """What the model says of images of spots that did not train."""
    found = inspector.raw_maps([image.path for image in images if image.product == "spots"], product="spots")
    return [raw for raw in found if not isinstance(raw, Failure)]
