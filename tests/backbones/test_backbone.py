"""Which levels a backbone gives, where its weights come from, and importing timm beside a mismatched torchvision."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from blemish.backbones.backbone import Backbone, build_backbone, load_backbone
from blemish.backbones.timm_import import import_timm
from blemish.config import BackboneConfig
from blemish.errors import BlemishError, ConfigError, MissingExtraError, ModelError

SIZE = 64
IMAGES = torch.arange(2 * SIZE * SIZE * 3).remainder(251).to(torch.uint8).view(2, SIZE, SIZE, 3)


def config(name: str = "timm:test_resnet", **changes: object) -> BackboneConfig:
    return BackboneConfig.model_validate({"name": name, **changes})


def state(backbone: Backbone) -> dict[str, torch.Tensor]:
    """As a file of timm's key names holds it."""
    return {name: value.contiguous() for name, value in backbone.network.state_dict().items()}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("wanted", "strides", "channels"),
    [
        (config("timm:resnet18"), (4, 8, 16), (64, 128, 256)),
        (config("timm:resnet18", strides=(8, 16)), (8, 16), (128, 256)),
        (config("timm:resnet18", strides=(16, 4)), (4, 16), (64, 256)),
        (config("timm:tf_efficientnet_b4", levels=(0, 1, 2, 3)), (2, 4, 8, 16), (24, 32, 56, 160)),
        (config("embedded", strides=(8,)), (8,), (128,)),
    ],
    ids=lambda value: f"{value.name} {value.strides}" if isinstance(value, BackboneConfig) else "",
)
def test_levels_of_convolutional_networks(
    wanted: BackboneConfig, strides: tuple[int, ...], channels: tuple[int, ...]
) -> None:
    backbone = build_backbone(wanted, SIZE)
    assert (backbone.strides, backbone.channels) == (strides, channels)
    shapes = [tuple(level.shape) for level in backbone.levels(IMAGES)]
    assert shapes == [(2, c, SIZE // s, SIZE // s) for c, s in zip(channels, strides, strict=True)]


def test_the_papers_backbone_has_272_channels() -> None:
    assert sum(build_backbone(config("timm:tf_efficientnet_b4", levels=(0, 1, 2, 3)), SIZE).channels) == 272


@pytest.mark.parametrize(("name", "stages"), [("tf_efficientnet_b0", 5), ("mobilenetv3_small_050", 4)])
def test_stages_behind_the_last_level_are_left_out(name: str, stages: int) -> None:
    whole = import_timm().create_model(name, features_only=True, pretrained=False, out_indices=(1, 2, 3)).eval()
    backbone = build_backbone(config(f"timm:{name}"), SIZE)
    kept = {key.split(".")[1] for key in backbone.network.state_dict() if key.startswith("blocks.")}
    assert len(kept) == stages < len(whole.blocks)
    backbone.network.load_state_dict(whole.state_dict(), strict=False)
    uncut = Backbone(whole, backbone.strides, backbone.channels, description=backbone.description)
    for level, other in zip(backbone.levels(IMAGES), uncut.levels(IMAGES), strict=True):
        torch.testing.assert_close(level, other)


def test_networks_with_channels_at_the_end_give_them_first() -> None:
    backbone = build_backbone(config("timm:swin_tiny_patch4_window7_224", strides=(16,)), 224)
    levels = backbone.levels(torch.zeros(1, 224, 224, 3, dtype=torch.uint8))
    assert [tuple(level.shape) for level in levels] == [(1, 384, 14, 14)]


def test_a_backbone_is_frozen_and_stays_in_evaluation_mode() -> None:
    backbone = build_backbone(config(), SIZE).train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(level.requires_grad for level in backbone.levels(IMAGES))


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (config("timm:resnet19"), ("resnet19", "Similar", "resnet18")),
        (config("timm:no such thing"), ("no such thing",)),
        (config(strides=(3,)), ("strides", "3")),
        (config(levels=(99,)), ("test_resnet",)),
        (config("embedded", strides=(2,)), ("2",)),
        (config("embedded", strides=()), ("strides",)),
    ],
    ids=lambda value: value.name if isinstance(value, BackboneConfig) else "",
)
def test_unknown_models_and_levels(wanted: BackboneConfig, named: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        build_backbone(wanted, SIZE)
    assert caught.value.remedy
    assert all(word in str(caught.value) for word in named)


@pytest.mark.parametrize("strides", [(4, 8, 16), (8, 16)])
@pytest.mark.usefixtures("no_network")
def test_weights_from_a_file(tmp_path: Path, strides: tuple[int, ...]) -> None:
    path = tmp_path / "wéights.safetensors"
    made = build_backbone(config(strides=strides), SIZE)
    save_file(state(made), path)
    read = load_backbone(config(strides=strides, weights=path), SIZE, offline=True)
    for before, after in zip(made.levels(IMAGES), read.levels(IMAGES), strict=True):
        assert torch.equal(before, after)
    other = build_backbone(config(strides=strides), SIZE)
    assert not torch.equal(other.levels(IMAGES)[0], read.levels(IMAGES)[0])


@pytest.mark.usefixtures("no_network")
def test_weights_of_further_layers_and_half_precision_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {name: value.half() for name, value in state(build_backbone(config(), SIZE)).items()}
    save_file({**tensors, "fc.weight": torch.zeros(3)}, path)
    read = load_backbone(config(weights=path), SIZE, offline=True)
    assert {level.dtype for level in read.levels(IMAGES)} == {torch.float32}
    for name, value in state(read).items():
        assert torch.equal(value, tensors[name].to(value.dtype))


@pytest.mark.parametrize("fault", ["missing", "a folder", "no safetensors", "empty", "a tensor lacks", "wrong shape"])
@pytest.mark.usefixtures("no_network")
def test_unusable_weight_files_are_named(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "w.safetensors"
    tensors = state(build_backbone(config(), SIZE))
    name = next(name for name in tensors if name.endswith("weight"))
    if fault == "a folder":
        path.mkdir()
    elif fault == "no safetensors":
        path.write_bytes(b"these are no weights")
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "a tensor lacks":
        del tensors[name]
        save_file(tensors, path)
    elif fault == "wrong shape":
        save_file({**tensors, name: torch.zeros(1, 2)}, path)
    with pytest.raises(ModelError) as caught:
        load_backbone(config(weights=path), SIZE, offline=True)
    assert str(path) in caught.value.message
    assert "--backbone-weights" in caught.value.remedy
    if fault in ("a tensor lacks", "wrong shape"):
        assert name in caught.value.message


@pytest.mark.usefixtures("no_network")
def test_offline_without_weights_says_how_to_supply_them() -> None:
    with pytest.raises(ModelError, match=r"resnet18.*--backbone-weights FILE"):
        load_backbone(config("timm:resnet18"), SIZE, offline=True)


@pytest.mark.usefixtures("no_network")
def test_the_embedded_backbone_needs_no_network() -> None:
    assert load_backbone(config("embedded"), SIZE).channels == (64, 128, 256)


def test_wrong_strides_are_not_taken_for_a_failed_download() -> None:
    with pytest.raises(ConfigError, match="strides"):
        load_backbone(config(strides=(3,)), SIZE)


def test_a_failed_download_says_how_to_supply_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = import_timm()
    create = timm.create_model

    def unreachable(name: str, *, pretrained: bool = False, **options: object) -> object:
        if pretrained:
            raise OSError("no route to the hub")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(ModelError, match=r"no route to the hub.*--backbone-weights FILE"):
        load_backbone(config(), SIZE)


def test_the_real_weights_of_a_resnet(shared: Path) -> None:
    path = shared / "weights" / "resnet18_imagenet_to_layer3_fp16.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the shared folder")
    backbone = load_backbone(config("timm:resnet18", weights=path), SIZE, offline=True)
    levels = backbone.levels(IMAGES)
    assert [level.shape[1] for level in levels] == [64, 128, 256]
    assert all(bool(level.isfinite().all()) and float(level.std()) > 0.01 for level in levels)


FAKE_TORCHVISION = """
import torch
for name in ("nms", "qnms"):
    try:
        torch._C._get_schema(f"torchvision::{name}", "")
    except RuntimeError:
        raise RuntimeError(f"operator torchvision::{name} does not exist") from None
"""
USER = """
import importlib
import torch
try:
    importlib.import_module("torchvision")
except RuntimeError as error:
    assert "operator torchvision::nms does not exist" in str(error)
else:
    raise SystemExit("the fake torchvision should not import by itself")
from blemish.backbones.timm_import import import_timm
assert import_timm().__version__ == "fake"
assert import_timm().__version__ == "fake"
import torchvision
try:
    torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
except NotImplementedError as error:
    print("loud:", str(error)[:60])
"""


def fake_package(folder: Path, name: str, code: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code, encoding="utf-8")


def test_timm_imports_beside_a_torchvision_of_another_build(tmp_path: Path) -> None:
    fake_package(tmp_path, "torchvision", FAKE_TORCHVISION)
    fake_package(tmp_path, "timm", "import torchvision\n__version__ = 'fake'\n")
    source = Path(build_backbone.__code__.co_filename).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(source)])}
    run = subprocess.run([sys.executable, "-c", USER], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("loud: ")
    assert "torchvision::nms" in run.stdout


@pytest.mark.parametrize("package", ["torchvision", "timm"])
def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*pip install 'blemish\[timm\]'") as caught:
        import_timm()
    assert isinstance(caught.value, BlemishError)


def test_other_errors_of_torchvision_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(tmp_path, "torchvision", "raise RuntimeError('out of memory')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    with pytest.raises(RuntimeError, match="out of memory"):
        import_timm()
