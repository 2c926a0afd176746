"""Configuration: presets, messages and JSON."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.config import BackboneConfig, ModelConfig, PresetName, TrainConfig
from blemish.errors import ConfigError

pytestmark = pytest.mark.core

PRESETS: tuple[PresetName, ...] = get_args(PresetName)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_say_their_name(preset: PresetName) -> None:
    config = TrainConfig.of(preset)
    assert config.preset == preset
    assert TrainConfig.parse(config.model_dump()) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_json_round_trip(preset: PresetName) -> None:
    config = TrainConfig.of(
        preset,
        seed=7,
        backbone={"name": "timm:resnet18", "weights": "w.safetensors"},
        pseudo_anomalies={"textures": "dtd"},
    )
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_the_papers_constants() -> None:
    config = TrainConfig.of("paper")
    model = config.model
    assert (model.size, model.width, model.heads, model.feedforward) == (224, 256, 8, 1024)
    assert (model.encoder_layers, model.decoder_layers, model.dropout, model.decoder) == (4, 4, 0.1, "dynamic")
    assert (model.grid, model.window) == (14, 7)
    assert (config.batch, config.epochs, config.learning_rate, config.weight_decay) == (64, 1000, 1e-4, 1e-4)
    assert (config.refiner_weight, config.jitter, config.clip, config.schedule) == (0.5, 20, 0.1, "step")
    extensions = (model.detail, model.neighbourhood, model.prompt_patches, model.error_smoothing, config.evidence)
    assert extensions == (1, 1, 0, 1, False)
    assert (config.refiner_share, config.fusion_exponent) == (0.5, 1)
    assert (model.equal_levels, model.distance_stride, config.focal) == (False, 0, 0)
    shares = config.pseudo_anomalies
    assert (shares.self_paste, shares.photometric, shares.warp, shares.blur) == (0, 0, 0, 0)
    assert not shares.keep_grey


@pytest.mark.parametrize(
    ("images", "steps", "changes", "expected"),
    [
        (200, 400, {}, 8),  # few images have many versions each
        (1600, 400, {}, 1),
        (9000, 400, {}, 1),  # every image has one
        (200, 50, {}, 1),  # so few that each is drawn four times
        (50, 50, {}, 4),
        (200, 400, {"pool": 0}, 0),
        (200, 400, {"refiner_weight": 0.0}, 0),  # nothing looks at them
    ],
)
def test_few_images_have_more_pseudo_anomalous_versions_each(
    images: int, steps: int, changes: dict[str, Any], expected: int
) -> None:
    config = TrainConfig.of("fast", **{"pool": 1600, "batch": 16, **changes})
    assert config.versions(images, steps) == expected


def test_changes_reach_into_nested_values_and_leave_the_rest() -> None:
    plain, changed = TrainConfig.of("fast"), TrainConfig.of("fast", model={"width": 64}, steps=5)
    assert (changed.model.width, changed.steps) == (64, 5)
    assert changed.model.model_copy(update={"width": plain.model.width}) == plain.model
    assert changed.backbone == plain.backbone
    assert TrainConfig.of("fast") == plain


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"backbone": {"weights": "x.safetensors"}}, "embedded backbone brings its weights"),
        ({"restoration": True}, "need a decoder"),
        ({"model": {"prompt_patches": 0}}, "prompt_patches"),
        ({"batch": 1}, "batch"),
        ({"steps": "many"}, "steps"),
        ({"seed": -1}, "seed"),
        ({"false_alarm_rate": 0}, "false_alarm_rate"),
        ({"hold_out": 1}, "hold_out"),
        ({"precision": "16"}, "precision"),
        ({"model": {"size": 100}}, "model.size"),
        ({"model": {"size": 4096}}, "model.size"),
        ({"model": {"detail": 3}}, "model.detail"),
        ({"model": {"decoder": "other"}}, "model.decoder"),
        ({"model": {"width": 130, "heads": 4}}, "width 130"),
        ({"model": {"decoder": "none", "prompt_patches": 0}}, "prompt_patches"),
        ({"model": {"size": 64, "neighbour_window": 4}}, "neighbour window of 4"),
        ({"model": "large"}, "model"),
        ({"backbone": {"name": "resnet18"}}, "backbone.name"),
        ({"backbone": {"name": "timm:"}}, "backbone.name"),
        ({"backbone": {"strides": "all"}}, "backbone.strides"),
        ({"pseudo_anomalies": {"warp": 1.5}}, "pseudo_anomalies.warp"),
        ({"sead": 3}, "sead"),
        ({"model": {"widht": 3}}, "model.widht"),
    ],
)
def test_messages_name_the_field(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.of("fast", **changes)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["slow", "", "FAST"])
def test_unknown_presets(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"no preset '{name}'.*paper, fast, accurate"):
        TrainConfig.of(name)  # type: ignore[arg-type]


def test_values_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TrainConfig.of("fast").seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["embedded", "timm:resnet18", "timm:tf_efficientnet_b4.aa_in1k"])
def test_backbone_names(name: str) -> None:
    assert BackboneConfig(name=name).name == name


@settings(deadline=None)
@given(st.integers(4, 64), st.none() | st.integers(0, 80))
def test_some_patch_is_always_left_to_attend_to(grid: int, window: int | None) -> None:
    try:
        model = ModelConfig(size=16 * grid, neighbour_window=window)
    except ValueError:
        assert window is not None
        assert 2 * (window // 2) + 1 >= grid
        return
    assert 2 * (model.window // 2) + 1 < model.grid
