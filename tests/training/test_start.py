"""A training that starts from the weights of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.engines.torch_engine import TorchEngine
from blemish.errors import ConfigError, ModelError
from blemish.inspector import Inspector
from blemish.model_folder import CARD
from blemish.models.prompted import PromptedNetwork
from blemish.training.start import load_start
from blemish.training.train import train

from .conftest import TINY


def network_of(inspector: Inspector) -> PromptedNetwork:
    assert isinstance(inspector.engine, TorchEngine)
    return inspector.engine.network


def one_product(tiny_folder: Path, name: str) -> Dataset:
    return Dataset(tuple(one for one in Dataset.from_folder(tiny_folder) if one.product == name))


@pytest.mark.parametrize("tiny_config", ["none", "dynamic"], indirect=True)
def test_it_begins_where_the_other_ended(tiny_folder: Path, tiny_config: TrainConfig, tmp_path: Path) -> None:
    reduced = TrainConfig.parse({**tiny_config.model_dump(), "backbone": {"components": 12}})
    old = train(one_product(tiny_folder, "stripes"), reduced, output=tmp_path / "old.blemish")
    still = {"learning_rate": 1e-12, "weight_decay": 0, "steps": 1, "init": str(tmp_path / "old.blemish")}
    config = TrainConfig.parse({**tiny_config.model_dump(), **still})
    new = train(one_product(tiny_folder, "spots"), config, output=tmp_path / "new.blemish")

    before, after = network_of(old), network_of(new)
    for name, value in before.model.named_parameters():
        torch.testing.assert_close(dict(after.model.named_parameters())[name], value, msg=name)
    for name in ("mean", "std"):
        torch.testing.assert_close(after.get_buffer(name), before.get_buffer(name))
    for name, value in before.backbone.state_dict().items():
        torch.testing.assert_close(after.backbone.state_dict()[name], value, msg=name)
    assert new.products == ("spots",)

    loaded = Inspector.load(tmp_path / "new.blemish", offline=True)
    assert (loaded.config.init, loaded.config.backbone.components) == ("old.blemish", 12)
    assert "`old.blemish`" in (tmp_path / "new.blemish" / CARD).read_text()
    assert str(tmp_path) not in (tmp_path / "new.blemish" / "config.json").read_text()
    image = one_product(tiny_folder, "spots").samples[0].path
    assert loaded.inspect(image).score == new.inspect(image).score


def test_its_losses_begin_lower(tiny_folder: Path, tiny_config: TrainConfig, tmp_path: Path) -> None:
    data = Dataset.from_folder(tiny_folder)
    train(data, TrainConfig.parse({**tiny_config.model_dump(), "steps": 60}), output=tmp_path / "old.blemish")
    losses = []
    for init in (None, str(tmp_path / "old.blemish")):
        config = TrainConfig.parse({**tiny_config.model_dump(), "init": init, "learning_rate": 1e-6})
        seen: list[Any] = []
        train(data, config, progress=seen.append)
        losses.append(next(one.losses["focal"] for one in seen if one.losses))
    assert losses[1] < 0.5 * losses[0]


def test_the_preset_starts_from_what_ships() -> None:
    network, config = load_start(TrainConfig.of("fast", init="shipped"), offline=True)
    assert config.backbone.name == "embedded"
    assert network.get_buffer("std").std() > 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": {"error_smoothing": 5}}, "its model.error_smoothing is 3, not 5"),
        ({"model": {"size": 320}}, "its model.size is 224, not 320"),
        ({"model": {"decoder": "static"}}, "its model.decoder is none, not static"),
        ({"backbone": {"name": "timm:resnet18"}}, "its backbone.name is embedded, not timm:resnet18"),
    ],
)
def test_another_architecture_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_start(TrainConfig.of("fast", init="shipped", **changes), offline=True)


def test_the_longer_preset_starts_from_what_ships_too() -> None:
    assert load_start(TrainConfig.of("accurate", init="shipped"), offline=True)[1].model.prompt_patches == 60_000


def test_what_no_weight_depends_on_may_differ() -> None:
    changes = {"tiles": 3, "prompt_patches": 500, "feedforward": 64}  # the transformer's, and there is none
    assert load_start(TrainConfig.of("fast", init="shipped", model=changes), offline=True)[1].model.tiles == 3


def test_no_such_model(tiny_dataset: Dataset, tmp_path: Path) -> None:
    config = TrainConfig.of("fast", **TINY, init=str(tmp_path / "none.blemish"))
    with pytest.raises(ModelError, match="no model folder"):
        train(tiny_dataset, config, output=tmp_path / "new")
    assert not (tmp_path / "new.run").exists()
