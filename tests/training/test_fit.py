"""The first calibration: each held-out image is looked at once, as long as what is said of it fits into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from blemish.data.dataset import Dataset
from blemish.inspection import Failure
from blemish.inspector import Inspector, RawMaps
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
