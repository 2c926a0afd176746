"""Pseudo-anomalies of training images, and of altered copies of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.synthesis.pseudo import PseudoAnomalies
from blemish.training.anomalies import AnomalyMaker
from blemish.training.store import Store
from blemish.training.train import train

SIZE = 64


@pytest.fixture
def maker() -> Iterator[AnomalyMaker]:
    cpu = torch.device("cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    with Store(100, cpu) as store:
        yield AnomalyMaker(pixels, PseudoAnomalies(SIZE, 0), cpu, store)


def test_only_the_copies_that_are_asked_for_are_altered(maker: AnomalyMaker) -> None:
    rows, keys = np.array([0, 1, 2, 2]), np.array([5, 6, 7, 8])
    plain, _ = maker.make(rows, keys)
    found, masks = maker.make(rows, keys, np.array([False, True, False, True]))
    assert torch.equal(found[::2], plain[::2])
    for row in (1, 3):
        normal = masks[row] == 0
        assert (found[row][normal] != plain[row][normal]).float().mean() > 0.5
    assert (masks.flatten(1).sum(1) > 0).all()


def test_an_altered_copy_depends_on_its_key_alone(maker: AnomalyMaker) -> None:
    both, masks = maker.make(np.array([3, 3]), np.array([1, 2]), np.array([True, True]))
    alone, mask = maker.make(np.array([3]), np.array([2]), np.array([True]))
    assert torch.equal(both[1:], alone)
    assert torch.equal(masks[1:], mask)
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize(("decoder", "restoration"), [("none", False), ("dynamic", True)])
def test_what_is_to_be_restored_is_not_altered(
    tiny_dataset: Dataset, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch, decoder: str, restoration: bool
) -> None:
    asked: list[bool] = []
    make = AnomalyMaker.make

    def spy(self: AnomalyMaker, rows: np.ndarray, keys: np.ndarray, changed: np.ndarray | None = None) -> object:
        asked.extend([False] * len(rows) if changed is None else changed.tolist())
        return make(self, rows, keys, changed)

    monkeypatch.setattr(AnomalyMaker, "make", spy)
    model = {**tiny_config.model.model_dump(), "decoder": decoder}
    changes = {"model": model, "restoration": restoration, "pool": 40, "steps": 10, "refresh": 0}
    train(tiny_dataset, TrainConfig.parse({**tiny_config.model_dump(), **changes}))
    assert len(asked) == 40  # two versions of each of 20 images
    assert sum(asked) == (0 if restoration else 20)
