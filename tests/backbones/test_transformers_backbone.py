"""Vision transformers of transformers: folders saved by the library itself, tiny and random."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from blemish.backbones.backbone import Backbone, build_backbone, load_backbone
from blemish.backbones.description import Description
from blemish.backbones.transformers_import import import_transformers
from blemish.config import BackboneConfig, TrainConfig
from blemish.errors import BlemishError, ConfigError, MissingExtraError, ModelError
from blemish.model_folder import Header

transformers: Any = import_transformers()

SIZE = 112
IMAGES = torch.arange(2 * SIZE * SIZE * 3).remainder(251).to(torch.uint8).view(2, SIZE, SIZE, 3)
TINY = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 24}
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dinov3": ("DINOv3ViTConfig", "DINOv3ViTModel", {"patch_size": 16, "num_register_tokens": 3}),
    "dinov2": ("Dinov2Config", "Dinov2Model", {"patch_size": 14, "image_size": 70}),
    "registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel", {"patch_size": 14, "image_size": 70}),
    "clip": ("CLIPVisionConfig", "CLIPVisionModel", {"patch_size": 16, "image_size": 64}),
    "siglip": ("SiglipVisionConfig", "SiglipVisionModel", {"patch_size": 16, "image_size": 64}),
    "vit": ("ViTConfig", "ViTModel", {"patch_size": 16, "image_size": 64}),
}
NORMS = {"dinov3": "norm", "clip": "post_layernorm", "siglip": "post_layernorm"}


def made(kind: str, **changes: Any) -> Any:
    config, model, own = KINDS[kind]
    network = getattr(transformers, model)(getattr(transformers, config)(**{**TINY, **own, **changes})).eval()
    generator = torch.Generator().manual_seed(len(kind))
    for parameter in network.parameters():  # as if trained: the norms differ from the identity
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def folder_of(path: Path, network: Any, **colours: Any) -> Path:
    network.save_pretrained(path)
    if colours:
        (path / "preprocessor_config.json").write_text(json.dumps(colours), encoding="utf-8")
    return path


def config(folder: Path | str, **changes: object) -> BackboneConfig:
    return BackboneConfig.model_validate({"name": f"transformers:{folder}", **changes})


def expected(network: Any, kind: str, images: Tensor, mean: Any, std: Any, blocks: tuple[int, ...]) -> list[Tensor]:
    """The outputs of the blocks, caught one by one, under the final norm."""
    norm = dict(network.named_modules())[NORMS.get(kind, "layernorm")]
    layers = next(m for m in network.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 4)
    caught: list[Tensor] = []
    for layer in layers:
        layer.register_forward_hook(lambda *call: caught.append(call[2][0] if isinstance(call[2], tuple) else call[2]))
    x = (images.permute(0, 3, 1, 2) / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    options = {"interpolate_pos_encoding": True} if kind in ("clip", "siglip", "vit") else {}
    with torch.no_grad():
        network(pixel_values=x, **options)
        cells = (SIZE // network.config.patch_size) ** 2
        taps = [norm(caught[block])[:, -cells:] for block in blocks]
    side = SIZE // network.config.patch_size
    return [tap.reshape(len(images), side, side, -1).permute(0, 3, 1, 2) for tap in taps]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("kind", KINDS)
def test_taps_are_the_blocks_under_the_final_norm(kind: str, tmp_path: Path) -> None:
    network = made(kind)
    folder = folder_of(tmp_path / "m", network, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.25])
    backbone = load_backbone(config(folder), SIZE, offline=True)
    patch = KINDS[kind][2]["patch_size"]
    assert (backbone.strides, backbone.channels) == ((patch,) * 4, (16,) * 4)
    wanted = expected(network, kind, IMAGES, [0.4, 0.5, 0.6], [0.2, 0.3, 0.25], (0, 1, 2, 3))
    for tap, target in zip(backbone.levels(IMAGES), wanted, strict=True):
        torch.testing.assert_close(tap, target, atol=2e-5, rtol=1e-4)


def test_levels_are_numbers_of_blocks(tmp_path: Path) -> None:
    network = made("dinov3")
    backbone = load_backbone(config(folder_of(tmp_path / "m", network), levels=(3, 1)), SIZE)
    imagenet = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    wanted = expected(network, "dinov3", IMAGES, *imagenet, (1, 3))
    for tap, target in zip(backbone.levels(IMAGES), wanted, strict=True):
        torch.testing.assert_close(tap, target, atol=2e-5, rtol=1e-4)


def test_a_whole_clip_gives_its_image_half(tmp_path: Path) -> None:
    vision = {**TINY, **KINDS["clip"][2]}
    text = {**TINY, "vocab_size": 50, "max_position_embeddings": 8}
    whole = transformers.CLIPModel(transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=8))
    folder = folder_of(tmp_path / "m", whole.eval())
    backbone = load_backbone(config(folder), SIZE)
    assert backbone.description.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    alone = transformers.CLIPVisionModel.from_pretrained(folder)
    wanted = expected(alone, "clip", IMAGES, backbone.description.mean, backbone.description.std, (0, 1, 2, 3))
    torch.testing.assert_close(backbone.levels(IMAGES)[3], wanted[3], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_built_again_without_its_folder(kind: str, tmp_path: Path) -> None:
    from blemish.engines.tensors import read_metadata, read_tensors, save_tensors

    folder = folder_of(tmp_path / "m", made(kind), image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.5, 0.5])
    first = load_backbone(config(folder), SIZE, offline=True)
    path = tmp_path / "backbone.safetensors"
    save_tensors(first.state_dict(), path, first.description.metadata())
    moved = config(folder).portable()
    assert moved.name == "transformers:m"
    again = build_backbone(moved, SIZE, Description.of(read_metadata(path)))
    again.load_state_dict(read_tensors(path))
    for before, after in zip(first.levels(IMAGES), again.levels(IMAGES), strict=True):
        assert torch.equal(before, after)
    with safe_open(path, framework="pt") as file:
        assert str(tmp_path) not in json.dumps(file.metadata())


def test_a_backbone_is_frozen_in_full_precision(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m", made("dinov3").half())
    backbone = load_backbone(config(folder), SIZE).train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str, encoding: str = "utf-8") -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_text(text, encoding=encoding)

    return spoil


def _lose_a_layer(folder: Path) -> None:
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**stated, "num_hidden_layers": 5}), encoding="utf-8")


def _pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (drop("config.json"), "config.json"),
        (drop("model.safetensors"), "model.safetensors"),
        (_pickle_only, "model.safetensors"),
        (write("config.json", "{"), "config.json"),
        (write("config.json", "[]"), "config.json"),
        (write("config.json", '{"model_type": "bert"}'), "bert"),
        (write("config.json", '{"auto_map": {"AutoModel": "evil.Model"}}'), "None"),
        (write("model.safetensors", "no tensors"), "cannot be read"),
        (_lose_a_layer, "more lack"),
        (write("preprocessor_config.json", '{"image_mean": [1, 2]}'), "preprocessor_config.json"),
        (write("preprocessor_config.json", '{"image_std": [0, 1, 1]}'), "preprocessor_config.json"),
        (write("preprocessor_config.json", '{"à": 1}', "latin-1"), "preprocessor"),
    ],
)
def test_unusable_folders_are_named(spoil: Callable[[Path], None], named: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m", made("dinov3"))
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        load_backbone(config(folder), SIZE)
    assert str(folder) in caught.value.message
    assert named in str(caught.value)
    assert caught.value.remedy


def test_code_of_a_folder_is_not_run(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m", made("dinov2"))
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    custom = {"AutoConfig": "custom.Config", "AutoModel": "custom.Model"}
    (folder / "config.json").write_text(json.dumps({**stated, "auto_map": custom}), encoding="utf-8")
    (folder / "custom.py").write_text("raise SystemExit('it ran')\n", encoding="utf-8")
    backbone = load_backbone(config(folder), SIZE)
    assert "auto_map" not in (backbone.description.architecture or {})


@pytest.mark.parametrize("source", ["no-such-folder", "somewhere/far/away", "owner/name"])
def test_a_missing_folder_offline(source: str) -> None:
    with pytest.raises(ModelError, match=rf"{source}.*config\.json"):
        load_backbone(config(source), SIZE, offline=True)


def test_a_hub_that_gives_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: object, **__: object) -> str:
        raise OSError("no route to the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(ModelError, match=r"owner/name.*no route to the hub"):
        load_backbone(config("owner/name"), SIZE)


def test_an_id_of_the_hub_is_fetched_without_pickles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    folder = folder_of(tmp_path / "cache", made("dinov3"))
    asked: dict[str, Any] = {}

    def snapshot(name: str, *, allow_patterns: list[str]) -> str:
        asked[name] = allow_patterns
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert load_backbone(config("owner/name"), SIZE).channels == (16,) * 4
    assert not any(pattern.endswith(("bin", "py", "*")) for pattern in asked["owner/name"])


@pytest.mark.parametrize(("kind", "size", "named"), [("dinov2", 256, "224 or 336"), ("dinov3", 72, "64 or 80")])
def test_sizes_that_do_not_divide_into_patches(kind: str, size: int, named: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m", made(kind))
    with pytest.raises(ConfigError, match=f"patches.*{named}"):
        load_backbone(config(folder), size)


def test_levels_that_are_not_there(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m", made("dinov3"))
    with pytest.raises(ConfigError, match="0 to 3"):
        load_backbone(config(folder, levels=(4,)), SIZE)


@pytest.mark.parametrize(
    "architecture", [None, {}, {"model_type": "bert"}, {"model_type": "dinov2", "hidden_size": "wide"}]
)
def test_damaged_descriptions(architecture: dict[str, Any] | None) -> None:
    with pytest.raises(ModelError) as caught:
        build_backbone(config("somewhere"), SIZE, Description(architecture=architecture))
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["", "{", '{"mean": [0, 0]}', '{"std": [0, 1, 1]}', '{"other": 1}'])
def test_damaged_metadata(text: str) -> None:
    with pytest.raises(ModelError, match="damaged"):
        Description.of({"backbone": text})


def test_files_without_a_description_hold_networks_of_imagenet() -> None:
    assert Description.of({}) == Description()
    assert Description.of(Description(mean=(0.1, 0.2, 0.3)).metadata()).mean == (0.1, 0.2, 0.3)


def test_weights_beside_a_folder_are_refused() -> None:
    with pytest.raises(ConfigError, match="holds its weights"):
        TrainConfig.of("fast", backbone={"name": "transformers:x", "weights": "x.safetensors"})


def test_paths_stay_on_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep" / "dinov3"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name, kept in [(str(folder), "dinov3"), ("deep/dinov3", "dinov3"), ("owner/name", "owner/name")]:
        train = TrainConfig.of("fast", backbone={"name": f"transformers:{name}"})
        assert Header.of(("bolt",), train).train.backbone.name == f"transformers:{kept}"


def test_a_missing_transformers_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"'transformers'.*pip install 'blemish\[diffusion\]'") as caught:
        load_backbone(config("anything"), SIZE)
    assert isinstance(caught.value, BlemishError)


def test_an_inspector_travels_without_the_folder(tmp_path: Path) -> None:
    from blemish.engines.torch_engine import TorchEngine
    from blemish.models.prompted import PromptedNetwork

    folder = folder_of(tmp_path / "dino", made("dinov3"), image_mean=[0.4, 0.4, 0.4], image_std=[0.3, 0.3, 0.3])
    train = TrainConfig.of(
        "fast", model={"size": 64, "prompt_patches": 20}, backbone={"name": f"transformers:{folder}"}
    )
    backbone: Backbone = load_backbone(train.backbone, 64, offline=True)
    engine = TorchEngine(PromptedNetwork(backbone, train.model, 1), "cpu")
    (tmp_path / "model").mkdir()
    engine.save(tmp_path / "model", train.backbone)
    for file in folder.iterdir():
        file.unlink()
    kept = Header.of(("bolt",), train).train
    read = TorchEngine.load(tmp_path / "model", kept.backbone, kept.model, 1, "cpu")
    images = IMAGES[:, :64, :64]
    for before, after in zip(backbone.levels(images), read.network.backbone.levels(images), strict=True):
        assert torch.equal(before, after)
    read.save(tmp_path / "model", kept.backbone)  # and once more
    assert TorchEngine.load(tmp_path / "model", kept.backbone, kept.model, 1, "cpu")
