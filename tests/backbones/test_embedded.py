"""The embedded backbone, the weights that ship, and the tool that makes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from blemish.backbones import embedded
from blemish.backbones.embedded import WEIGHTS, EmbeddedNetwork, load_embedded
from blemish.errors import ModelError
from blemish.procedural.scenes import scene
from blemish.procedural.seeding import generator

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("BLEMISH_SHARED", ROOT.parent / "shared"))
TEACHER = SHARED / "weights" / "resnet18_imagenet_to_layer3_fp16.safetensors"
SHIPPED = Path(embedded.__file__).with_name(WEIGHTS)


@pytest.fixture(scope="module")
def tool(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("tools/train_backbone.py")


@pytest.fixture(scope="module")
def network() -> EmbeddedNetwork:
    return load_embedded()


def pictures(count: int, size: int = 64) -> np.ndarray:
    return np.stack([scene(size, generator(0, "embedded test", index)) for index in range(count)])


def images(count: int, size: int = 64) -> Tensor:
    values = torch.from_numpy(pictures(count, size)).permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )


@pytest.mark.parametrize(("height", "width"), [(224, 224), (64, 96), (97, 130), (16, 16), (1, 1)])
def test_levels_have_the_stated_strides_and_channels(network: EmbeddedNetwork, height: int, width: int) -> None:
    levels = network(torch.zeros(2, 3, height, width))
    wanted = [(2, c, -(-height // s), -(-width // s)) for c, s in zip(network.channels, network.strides, strict=True)]
    assert [tuple(level.shape) for level in levels] == wanted


def test_network_is_frozen_in_evaluation_mode_and_float32(network: EmbeddedNetwork) -> None:
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}


def test_features_of_an_image_do_not_depend_on_its_batch(network: EmbeddedNetwork) -> None:
    batch = images(3)
    for together, alone in zip(network(batch), network(batch[1:2]), strict=True):
        torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=1e-4)


def test_every_level_tells_scenes_apart(network: EmbeddedNetwork) -> None:
    for level in network(images(8)):
        assert bool(level.isfinite().all())
        assert float(level.mean(dim=(2, 3)).std(dim=0).mean()) > 0.05


def test_shipped_weights_are_small_half_precision_and_say_how_they_were_made() -> None:
    assert SHIPPED.stat().st_size <= 8_000_000
    with safe_open(SHIPPED, framework="pt") as file:
        header = file.metadata()
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
    assert {"made_by", "teacher", "trained_on", "seed", "minutes", "licence"} <= set(header)


@pytest.mark.parametrize("content", [None, b"", b"\x40\0\0\0\0\0\0\0{broken", "another network"])
def test_unusable_weights_are_named(
    content: bytes | str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / WEIGHTS
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        save_file({"stem.0.weight": torch.zeros(1)}, path)
    monkeypatch.setattr(embedded, "files", lambda package: tmp_path)
    with pytest.raises(ModelError, match=WEIGHTS):
        load_embedded()


def test_folding_batch_norms_keeps_the_function(tool: ModuleType) -> None:
    torch.manual_seed(0)
    trained = tool.with_batch_norms(EmbeddedNetwork())
    for module in trained.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
    trained.eval()
    folded = tool.folded(trained)
    assert folded.state_dict().keys() == EmbeddedNetwork().state_dict().keys()
    for before, after in zip(trained(images(2)), folded(images(2)), strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pairs", [False, True])
def test_batches_depend_on_seed_and_step_alone(tool: ModuleType, pairs: bool) -> None:
    scenes = pictures(3, tool.SCENE_SIZE)
    first, offsets = tool.Batches(scenes, 0, pairs)[5]
    again = tool.Batches(scenes, 0, pairs)[5]
    assert torch.equal(first, again[0])
    assert torch.equal(offsets, again[1])
    assert len(offsets) == (len(first) // 2 if pairs else 0)
    others = [tool.Batches(scenes, 0, pairs)[6][0], tool.Batches(scenes, 1, pairs)[5][0]]
    assert not any(first.shape == other.shape and torch.equal(first, other) for other in others)


def test_both_views_of_a_pair_show_the_same_places(tool: ModuleType) -> None:
    scenes = pictures(4, tool.SCENE_SIZE)
    moved = set()
    for step in range(3):
        images, offsets = tool.Batches(scenes, 0, True)[step]
        first, second = images.mean(dim=1).chunk(2)
        for one, other, offset in zip(first, second, offsets.tolist(), strict=True):
            (down, right), side = [16 * cells for cells in offset], one.shape[0]
            here = one[max(0, down) : side + min(0, down), max(0, right) : side + min(0, right)].flatten()
            there = other[max(0, -down) : side + min(0, -down), max(0, -right) : side + min(0, -right)].flatten()
            assert float(torch.corrcoef(torch.stack([here, there]))[0, 1]) > 0.7
            moved.add((down, right))
    assert len(moved) > 4


def test_places_are_found_where_views_agree(tool: ModuleType) -> None:
    """The same features shifted by the offset are told apart; with any other offset they are not."""
    torch.manual_seed(1)
    places, rng = tool.Places().requires_grad_(False), generator(0, "places test")
    wide = [
        torch.randn(1, channels, 256 // stride, 256 // stride)
        for channels, stride in zip((64, 128, 256), (4, 8, 16), strict=True)
    ]
    offsets = torch.tensor([[2, -1]])

    def view(top: int, left: int) -> list[Tensor]:
        return [
            level[:, :, top // stride : (top + 128) // stride, left // stride : (left + 128) // stride]
            for level, stride in zip(wide, (4, 8, 16), strict=True)
        ]

    levels = [torch.cat(both) for both in zip(view(32, 64), view(64, 48), strict=True)]
    right, found = places(levels, offsets, rng)
    wrong, missed = places(levels, torch.tensor([[0, 0]]), rng)
    assert found > 0.9
    assert missed < 0.3
    assert all(float(good) < float(bad) for good, bad in zip(right, wrong, strict=True))


def test_features_without_a_teacher_are_standardised(tool: ModuleType) -> None:
    torch.manual_seed(0)
    network = tool.folded(tool.with_batch_norms(EmbeddedNetwork()))
    tool.standardise(network, [images(6)])
    for level in network.requires_grad_(False)(images(6)):
        values = level.flatten(2).transpose(0, 1).flatten(1)
        torch.testing.assert_close(values.mean(1), torch.zeros(len(values)), atol=1e-3, rtol=0)
        assert float(values.std(1).max()) < 1.001


def test_explained_variance_of_perfect_and_constant_students(tool: ModuleType) -> None:
    def teacher(batch: Tensor) -> list[Tensor]:
        return [batch, batch[:, :1] * 3 + 1, batch.flip(3)]

    def constant(batch: Tensor) -> list[Tensor]:
        return [level.mean(dim=(0, 2, 3), keepdim=True).expand_as(level) for level in teacher(batch)]

    groups = [images(4)]
    assert tool.explained(teacher, teacher, groups) == [1, 1, 1]
    assert tool.explained(constant, teacher, groups) == pytest.approx([0, 0, 0], abs=1e-5)


def test_a_resumed_run_takes_the_same_step(tool: ModuleType, tmp_path: Path) -> None:
    batch = images(2, 32)
    targets = [torch.ones_like(level) for level in EmbeddedNetwork()(batch)]
    run = tool.Run(seed=0)
    run.advance(batch, targets, progress=0.3)
    run.save(tmp_path / "checkpoint.safetensors", "this run")
    resumed = tool.Run(seed=1)
    resumed.resume(tmp_path / "checkpoint.safetensors", "this run")
    assert resumed.step == 1
    assert resumed.advance(batch, targets, 0.4) == run.advance(batch, targets, 0.4)
    for name, tensor in run.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], tensor)
    with pytest.raises(ModelError, match="another run"):
        resumed.resume(tmp_path / "checkpoint.safetensors", "another run")


def test_a_run_lowers_the_loss(tool: ModuleType) -> None:
    batch = images(4, 32)
    torch.manual_seed(3)
    targets = [
        torch.nn.functional.avg_pool2d(batch[:, :1], stride).expand(-1, channels, -1, -1)
        for stride, channels in zip(EmbeddedNetwork.strides, EmbeddedNetwork.channels, strict=True)
    ]
    run = tool.Run(seed=0)
    losses = [sum(run.advance(batch, targets, progress=0.02)) for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]


def test_tool_names_a_missing_teacher(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--teacher", str(tmp_path / "none.safetensors"), "--output", str(tmp_path / "out.safetensors")]
    assert tool.main([*arguments, "--threads", str(torch.get_num_threads())]) == 2
    assert "none.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.skipif(not TEACHER.exists(), reason="the teacher's weights lie in shared/, which is absent")
def test_shipped_network_imitates_its_teacher_on_unseen_scenes(tool: ModuleType, network: EmbeddedNetwork) -> None:
    teacher = tool.Teacher(TEACHER, torch.device("cpu"), half=False)
    teacher.standardise(pictures(24, tool.SCENE_SIZE))
    unseen = np.stack([scene(tool.SCENE_SIZE, generator(7, "unseen", index)) for index in range(8)])
    shares = tool.explained(network, teacher, [tool.normalised(unseen)])
    assert min(shares) > 0.3
