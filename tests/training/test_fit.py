"""The first calibration: each held-out image is looked at once, as long as what is said of it fits into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blemish.data.dataset import Dataset
from blemish.inspection import Failure
from blemish.inspector import Inspector, RawMaps
from blemish.scoring import fuse
from blemish.training import fit
from blemish.training.fit import fit_products
from blemish.training.images import TrainingSet
from blemish.training.runtime import silent

from .conftest import TINY

HELD, MAP_BYTES = 12, 2 * 4 * 64 * 64


@pytest.mark.parametrize(("kept", "looks"), [(1000, HELD), (4, 2 * HELD - 2 * 4), (0, 2 * HELD)])
def test_maps_are_kept_while_they_fit(
    tiny_model: Inspector, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, kept: int, looks: int
) -> None:
    training = TrainingSet.of(tiny_dataset, TINY["hold_out"], TINY["seed"])
    assert len(training.held) == HELD
    inspected: list[Any] = []
    raw_maps = Inspector.raw_maps

    def counted(self: Inspector, images: Iterable[Any], **options: Any) -> Iterator[RawMaps | Failure]:
        chosen = list(images)
        inspected.extend(chosen)
        return raw_maps(self, chosen, **options)

    monkeypatch.setattr(Inspector, "raw_maps", counted)
    monkeypatch.setattr(fit, "_KEPT_BYTES", kept * MAP_BYTES)
    assert fit_products(tiny_model, training, silent).calibration == tiny_model.calibration
    assert len(inspected) == looks


@pytest.mark.parametrize("exponent", [1, 0.5])
def test_the_share_is_that_of_the_mean(tiny_model: Inspector, tiny_dataset: Dataset, exponent: float) -> None:
    """With the reconstruction map at its level on normal images the fused map is the mean of the two."""
    config = tiny_model.config.model_copy(update={"refiner_share": 0.3, "fusion_exponent": exponent})
    training = TrainingSet.of(tiny_dataset, TINY["hold_out"], TINY["seed"])
    fitted = fit_products(replace(tiny_model, config=config), training, silent).calibration["spots"].fusion
    preset = tiny_model.config
    alone = (1 - preset.refiner_share) ** (1 / preset.fusion_exponent)
    level = alone / tiny_model.calibration["spots"].fusion.reconstruction
    found = fuse(np.full((2, 2), level, np.float32), np.full((2, 2), 0.5, np.float32), fitted)
    expected = (0.7 * 1 + 0.3 * float(np.log(2)) ** exponent) ** (1 / exponent)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
