"""Embeddings of categories: anchors from names alone, a tiny CLIP that transformers saved, and files."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from blemish.backbones.clip_text import TEMPLATES
from blemish.backbones.embeddings import anchors, category_embeddings
from blemish.backbones.transformers_import import import_transformers
from blemish.errors import BlemishError, ConfigError, MissingExtraError, ModelError

transformers: Any = import_transformers()

NAMES = ("scratch", "hole", "missing_part")
WIDTH = 12


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def largest_cosine(embeddings: Tensor) -> float:
    cosines = embeddings @ embeddings.T
    return float((cosines - torch.eye(len(embeddings))).abs().max())


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5), st.integers(1, 300))
def test_anchors_are_unit_vectors_of_the_name_alone(names: list[str], width: int) -> None:
    together = category_embeddings("anchors", names, width)
    assert together.shape == (len(names), width)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together.norm(dim=1), torch.ones(len(names)))
    for row, name in zip(together, names, strict=True):
        assert torch.equal(row, category_embeddings("anchors", [name, "another"], width)[0])


@pytest.mark.parametrize(
    ("count", "width", "bound"),
    [(10, 128, 0.36), (30, 128, 0.42), (60, 128, 0.45), (10, 256, 0.26), (60, 256, 0.33), (60, 1024, 0.17)],
)
def test_anchors_are_well_separated(count: int, width: int, bound: float) -> None:
    for product in range(20):
        found = anchors([f"{product} {number}" for number in range(count)], width)
        assert largest_cosine(found) < bound


def test_anchors_are_the_same_everywhere() -> None:
    signs = (anchors(["scratch"], 16)[0] * 4).int().tolist()
    assert signs == [-1, 1, -1, -1, 1, 1, -1, -1, -1, -1, -1, 1, -1, -1, -1, 1]


def test_one_name_in_two_spellings_and_two_products() -> None:
    composed, decomposed = unicodedata.normalize("NFC", "fêlure"), unicodedata.normalize("NFD", "fêlure")
    assert composed != decomposed
    found = category_embeddings("anchors", [composed, "hole", decomposed, "hole"], 64)
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])
    assert not torch.equal(found[0], found[1])


def test_anchors_need_no_text_model() -> None:
    code = (
        "import sys; from blemish.backbones.embeddings import category_embeddings as e; e('anchors', ['a'], 8); "
        "assert not {'transformers', 'timm', 'torchvision'} & set(sys.modules)"
    )
    source = str(Path(anchors.__code__.co_filename).parents[2])
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": source}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("source", "names", "width", "named"),
    [
        ("anchors", [], 8, "no categories"),
        ("anchors", ["hole", " "], 8, "no name"),
        ("anchors", ["hole"], 0, "0 values"),
        ("anchors:x", ["hole"], 8, "anchors:x"),
        ("bert:x", ["hole"], 8, "bert:x"),
        ("clip:", ["hole"], 8, "clip:"),
        ("file", ["hole"], 8, "file"),
        ("", ["hole"], 8, "''"),
    ],
)
def test_unusable_requests(source: str, names: list[str], width: int, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        category_embeddings(source, names, width)
    assert named in caught.value.message
    assert caught.value.remedy


def test_a_file_gives_its_vectors_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "é.safetensors"
    stored = {
        "hole": torch.randn(4).half(),
        "crack": torch.randn(4),
        unicodedata.normalize("NFD", "fêlure"): torch.ones(4),
    }
    save_file(stored, path)
    found = category_embeddings(f"file:{path}", ["crack", "hole", "crack", "fêlure"], 4)
    assert found.dtype == torch.float32
    wanted = [stored["crack"], stored["hole"].float(), stored["crack"], torch.ones(4)]
    assert torch.equal(found, torch.stack(wanted))


@pytest.mark.parametrize(
    ("tensors", "error", "named"),
    [
        (None, ModelError, "There is no file"),
        (b"no tensors", ModelError, "not a safetensors file"),
        ({"hole": torch.ones(4)}, ModelError, "missing_part, scratch"),
        ({name: torch.ones(5) for name in NAMES}, ConfigError, r"shape (5,), not (4,)"),
        ({name: torch.ones(1, 4) for name in NAMES}, ConfigError, "(1, 4)"),
        ({name: torch.ones(2048) for name in NAMES}, ConfigError, "1024 to 2047"),
        ({name: torch.zeros(4) for name in NAMES}, ModelError, "zero"),
        ({name: torch.full((4,), torch.nan) for name in NAMES}, ModelError, "not finite"),
    ],
)
def test_unusable_files_are_named(tensors: Any, error: type[BlemishError], named: str, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    if isinstance(tensors, bytes):
        path.write_bytes(tensors)
    elif tensors:
        save_file(tensors, path)
    with pytest.raises(error) as caught:
        category_embeddings(f"file:{path}", NAMES, 4)
    assert named in str(caught.value)
    assert str(path) in caught.value.message
    assert caught.value.remedy


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CLIP with a tokeniser of single letters."""
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "sc", "ho", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\ns c\nh o\n", encoding="utf-8")
    tiny = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    special = {"bos_token_id": len(tokens) - 2, "eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1}
    text = {**tiny, **special, "vocab_size": len(tokens), "max_position_embeddings": 48}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**tiny, "image_size": 32, "patch_size": 16}, projection_dim=WIDTH
    )
    config.text_config.projection_dim = WIDTH
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(folder)
    return folder


def test_clip_averages_the_templates_and_then_normalises(clip: Path) -> None:
    found = category_embeddings(f"clip:{clip}", NAMES, WIDTH)
    model = transformers.CLIPModel.from_pretrained(clip).eval()
    tokenizer = transformers.CLIPTokenizerFast.from_pretrained(clip)
    for row, name in zip(found, ("scratch", "hole", "missing part"), strict=True):
        features = []
        for template in TEMPLATES:  # one by one: without padding
            ids = tokenizer(f"{template} {name}", return_tensors="pt")["input_ids"][:, :48]
            assert int(ids[0, -1]) == model.config.text_config.eos_token_id
            with torch.no_grad():
                pooled = model.text_model(input_ids=ids).pooler_output
                features.append(model.text_projection(pooled)[0])
        mean = torch.stack(features).mean(dim=0)
        torch.testing.assert_close(row, mean / mean.norm(), atol=1e-5, rtol=1e-4)
    assert len(TEMPLATES) == 10
    assert largest_cosine(found) > 1e-3


def test_clip_by_itself_and_of_long_names(clip: Path, tmp_path: Path) -> None:
    tower = transformers.CLIPTextModelWithProjection.from_pretrained(clip)
    tower.save_pretrained(tmp_path)
    transformers.CLIPTokenizerFast.from_pretrained(clip).save_pretrained(tmp_path)
    names = ["scratch", "a name " * 30]
    whole, alone = (category_embeddings(f"clip:{folder}", names, WIDTH) for folder in (clip, tmp_path))
    torch.testing.assert_close(whole, alone)
    assert torch.equal(alone[:1], category_embeddings(f"clip:{tmp_path}", names[:1], WIDTH))


def test_clip_of_another_width(clip: Path) -> None:
    with pytest.raises(ConfigError, match=f"gives {WIDTH} values, not 256.*width to {WIDTH}"):
        category_embeddings(f"clip:{clip}", NAMES, 256)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("no folder", "There is no folder"),
        ("config.json", "config.json"),
        ("model.safetensors", "model.safetensors"),
        ("merges.txt", "no tokeniser"),
        ("damaged", "cannot be read"),
        ("of images", "not a CLIP"),
        ("no projection", "text_projection"),
    ],
)
def test_unusable_clips_are_named(fault: str, named: str, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    if fault != "no folder":
        folder.mkdir()
        for file in clip.iterdir():
            if file.name != fault:
                (folder / file.name).write_bytes(file.read_bytes())
    if fault == "damaged":
        (folder / "vocab.json").write_text("{", encoding="utf-8")
    elif fault == "of images":
        (folder / "config.json").write_text('{"model_type": "clip_vision_model"}', encoding="utf-8")
    elif fault == "no projection":
        tensors = load_file(folder / "model.safetensors")
        del tensors["text_projection.weight"]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        category_embeddings(f"clip:{folder}", NAMES, WIDTH)
    assert str(folder) in caught.value.message
    assert named in caught.value.message
    assert "tokeniser" in caught.value.remedy or "config.json" in caught.value.remedy


def test_clip_without_transformers_says_what_to_install(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"'transformers'.*blemish\[diffusion\]"):
        category_embeddings(f"clip:{clip}", NAMES, WIDTH)
