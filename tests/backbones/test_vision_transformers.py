"""Vision transformers of timm: four taps under the final norm, at any size, from local weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from blemish.backbones.backbone import Backbone, build_backbone, load_backbone
from blemish.backbones.description import IMAGENET_MEAN, IMAGENET_STD, Description
from blemish.backbones.network import check_patches, quarters
from blemish.backbones.timm_import import import_timm
from blemish.config import BackboneConfig
from blemish.engines.tensors import read_metadata, save_tensors
from blemish.errors import ConfigError, ModelError

timm: Any = import_timm()

DINOV3, DINOV2 = "vit_base_patch16_dinov3.lvd1689m", "vit_base_patch14_dinov2.lvd142m"
REGISTERS, CLIP = "vit_small_patch14_reg4_dinov2.lvd142m", "vit_base_patch16_clip_224.openai"
DEIT, DISTILLED = "deit_tiny_patch16_224.fb_in1k", "deit_tiny_distilled_patch16_224.fb_in1k"
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PATCH = {DINOV2: 14, REGISTERS: 14}
NAMES = (DINOV3, DINOV2, REGISTERS, CLIP, DEIT, DISTILLED)
SIZE = 112


def config(name: str, **changes: object) -> BackboneConfig:
    return BackboneConfig.model_validate({"name": f"timm:{name}", **changes})


def images(size: int = SIZE, count: int = 2) -> Tensor:
    return torch.arange(count * size * size * 3).remainder(251).to(torch.uint8).view(count, size, size, 3)


def normalised(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


@pytest.fixture
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks by their names, blocks and tokens, but 24 channels wide."""
    create = timm.create_model

    def narrow(name: str, **options: Any) -> Any:
        return create(name, **{"embed_dim": 24, "num_heads": 2, **options})

    monkeypatch.setattr(timm, "create_model", narrow)


def weights_of(name: str, path: Path) -> Any:
    """A network as if trained, at its own size, and its weights in a file with timm's key names."""
    torch.manual_seed(len(name))
    model = timm.create_model(name).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return model


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("name", NAMES)
def test_taps_are_those_of_the_network_itself(name: str, tmp_path: Path) -> None:
    model = weights_of(name, tmp_path / "w.safetensors")
    backbone = load_backbone(config(name, weights=tmp_path / "w.safetensors"), SIZE, offline=True)
    side = SIZE // PATCH.get(name, 16)
    model.set_input_size(img_size=(SIZE, SIZE))
    mean, std = (CLIP_MEAN, CLIP_STD) if name == CLIP else (IMAGENET_MEAN, IMAGENET_STD)
    with torch.no_grad():
        tokens = model.forward_intermediates(
            normalised(images(), mean, std), indices=[2, 5, 8, 11], output_fmt="NLC", intermediates_only=True
        )
        wanted = [model.norm(one).transpose(1, 2).reshape(2, 24, side, side) for one in tokens]
        whole = model.forward_features(normalised(images(), mean, std))[:, -(side**2) :]
    assert (backbone.strides, backbone.channels) == ((PATCH.get(name, 16),) * 4, (24,) * 4)
    levels = backbone.levels(images())
    for tap, target in zip(levels, wanted, strict=True):
        torch.testing.assert_close(tap, target, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(levels[3].flatten(2).transpose(1, 2), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_vit3", "test_vit4"])
def test_a_norm_behind_the_pooling_is_applied_too(name: str, tmp_path: Path) -> None:
    model = weights_of(name, tmp_path / "w.safetensors")
    last = len(model.blocks) - 1
    backbone = load_backbone(config(name, weights=tmp_path / "w.safetensors", levels=(1, last)), SIZE, offline=True)
    model.set_input_size(img_size=(SIZE, SIZE))
    norm = model.fc_norm if isinstance(model.norm, torch.nn.Identity) else model.norm
    assert not isinstance(norm, torch.nn.Identity)
    with torch.no_grad():
        tokens = model.forward_intermediates(
            normalised(images(), (0.5,) * 3, (0.5,) * 3), indices=[1, last], output_fmt="NLC", intermediates_only=True
        )
    for tap, one in zip(backbone.levels(images()), tokens, strict=True):
        torch.testing.assert_close(tap.flatten(2).transpose(1, 2), norm(one), atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("_narrow")
def test_blocks_behind_the_last_tap_are_left_out() -> None:
    few = build_backbone(config(DINOV3, levels=(5, 2)), 64)
    names = {key.split("blocks.")[1].split(".")[0] for key in few.state_dict() if "blocks." in key}
    assert names == {str(block) for block in range(6)}
    assert [tuple(level.shape) for level in few.levels(images(64))] == [(2, 24, 4, 4)] * 2


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("name", [DINOV3, DINOV2, CLIP])
def test_a_model_folder_brings_the_weights(name: str, tmp_path: Path) -> None:
    weights_of(name, tmp_path / "w.safetensors")
    first = load_backbone(config(name, weights=tmp_path / "w.safetensors"), SIZE, offline=True)
    path = tmp_path / "backbone.safetensors"
    save_tensors(first.state_dict(), path, first.description.metadata())
    again = build_backbone(config(name), SIZE, Description.of(read_metadata(path)))
    again.load_state_dict(load_file(path))
    for before, after in zip(first.levels(images()), again.levels(images()), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("resnet18", IMAGENET_MEAN, IMAGENET_STD),
        ("tf_efficientnet_b0.in1k", IMAGENET_MEAN, IMAGENET_STD),
        ("test_resnet", (0.5,) * 3, (0.5,) * 3),
        ("test_vit", (0.5,) * 3, (0.5,) * 3),
    ],
)
def test_images_are_normalised_as_the_network_expects(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    backbone = build_backbone(config(name), SIZE)
    assert (backbone.description.mean, backbone.description.std) == (mean, std)
    with torch.no_grad():
        wanted = backbone.network(normalised(images(), mean, std))
    for level, target in zip(backbone.levels(images()), wanted, strict=True):
        torch.testing.assert_close(level, target, atol=1e-5, rtol=1e-4)


def test_a_folder_without_a_description_keeps_the_mean_it_was_trained_with() -> None:
    old = build_backbone(config("test_resnet"), SIZE, Description.of({}))
    assert (old.description.mean, old.description.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_the_embedded_backbone_sees_the_mean_of_imagenet() -> None:
    backbone: Backbone = load_backbone(BackboneConfig(), 64)
    assert (backbone.description.mean, backbone.description.std) == (IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize(
    ("name", "size", "named"),
    [(DINOV2, 256, "224 or 336"), (DINOV2, 64, "112"), (DINOV3, 100, "96 or 112")],
)
def test_sizes_that_do_not_divide_into_patches(name: str, size: int, named: str) -> None:
    with pytest.raises(ConfigError, match=f"{size} is not a multiple.*{named}"):
        build_backbone(config(name), size)


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("levels", [(12,), (-1,), (2, 99)])
def test_blocks_that_are_not_there(levels: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="0 to 11"):
        build_backbone(config(DINOV3, levels=levels), SIZE)


@pytest.mark.usefixtures("_narrow")
def test_weights_of_another_size_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights_of(DEIT, path)
    save_file({**load_file(path), "pos_embed": torch.zeros(1, 5, 24)}, path)
    with pytest.raises(ModelError, match=r"pos_embed has the shape \(1, 5, 24\), not \(1, 197, 24\)"):
        load_backbone(config(DEIT, weights=path), SIZE, offline=True)


@given(st.integers(1, 60))
def test_quarters_end_with_the_last_block(blocks: int) -> None:
    found = quarters(blocks)
    assert found[-1] == blocks - 1
    assert found == tuple(sorted(set(found)))
    assert found[0] >= 0
    assert len(found) == min(4, blocks)
    if blocks % 4 == 0:
        assert {after - before for before, after in zip((-1, *found), found, strict=False)} == {blocks // 4}


def test_quarters_of_the_paper() -> None:
    assert quarters(12) == (2, 5, 8, 11)
    assert quarters(24) == (5, 11, 17, 23)


@given(st.integers(1, 1024), st.sampled_from([7, 8, 14, 16, 32]))
def test_the_named_sizes_work(size: int, patch: int) -> None:
    try:
        check_patches("x", size, patch)
    except ConfigError as error:
        fitting = [int(word) for word in error.remedy.rstrip(".").split() if word.isdigit()]
        assert fitting
        for one in fitting:
            check_patches("x", one, patch)
            assert one % 16 == 0
    else:
        assert size % patch == 0
